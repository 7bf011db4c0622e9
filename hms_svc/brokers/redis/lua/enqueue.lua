-- Accept jobs whose records the caller has written; a known id is not changed.
--
-- args     runs: for each run of jobs: type, state, jobs: for each: id, its record without its position; then, if it has
--          any of them: position (of a queued job: what to add to its time), its unique key or false, whether it has a
--          priority, and the rule for its key if it is not the usual one, see uniqueness.lua
-- returns  for each job that was not accepted: its index (from 1), "known" and its record ("" if much was read
--          already: the caller reads it), or "unique" and the id that holds its key; and for each that has replaced
--          a job: its index, "replaced", the id of that one, and the state
-- Invariant: a record, its index, its count and its unique key are written together or not at all.

local answers, place = {}, 0
for _, run in ipairs(args.runs) do
  local type, state, jobs = unpack(run)
  local turn, places = state == QUEUED and turns(type, #jobs) or 0, {}
  for number, job in ipairs(jobs) do
    local id, rest, position, unique, named, rule = unpack(job)
    local fault, detail, into = accept(places, id, type, state, rest, position, unique, named, turn + number - 1, rule)
    place = place + 1
    if fault then answers[#answers + 1] = { place, fault, detail, into } end
  end
  accepted(type, state, places)
end
finish()
return answers
