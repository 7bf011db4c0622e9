-- Accept jobs whose records the caller has written; a known id is not changed.
--
-- args     runs: for each run of jobs: type, state, jobs: for each: id, its record without its position; then, if it has
--          any of them: position (of a queued job: what to add to its time), its unique key or false, whether it has a
--          priority, and the rule for its key if it is not the usual one, see uniqueness.lua
-- returns  for each job that was not accepted: its index (from 1), "known" and its record ("" if much was read
--          already: the caller reads it), or "unique" and the id that holds its key; and for each that has replaced
--          a job: its index, "replaced", the id of that one, and the state
-- rarely   accept, finish, note_if_empty
-- Invariant: a record, its index, its count and its unique key are written together or not at all.

local answers, place, are_plain = {}, 0, true
for _, run in ipairs(args.runs) do
  local type, state, jobs = run[1], run[2], run[3]
  local turn, priority = first_turn(type, state, #jobs)
  local places = {}
  for number, job in ipairs(jobs) do
    local id, fault, detail, into = job[1], nil, nil, nil
    local position = state == QUEUED and turn + number - 1 or 0
    if #job == 2 and priority == 0
      and redis.call('SETNX', job_key(id), struct.pack(POSITION_FORMAT, position) .. job[2]) == 1 then
      places[#places + 1] = int(position)
      places[#places + 1] = id
    else
      are_plain = false
      fault, detail, into = accept(places, id, type, state, job[2], job[3], job[4], job[5], position, job[6])
    end
    place = place + 1
    if fault then answers[#answers + 1] = { place, fault, detail, into } end
  end
  accepted(type, state, places)
end
if not are_plain then finish() end
return answers
