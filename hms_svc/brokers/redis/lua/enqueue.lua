-- Accept jobs whose records the caller has written; a known id is not changed.
--
-- ARGV     for each run of jobs: type, state, number, then for each job: id, the line of its record before and after
--          the position, position (of a queued job: what to add to its time), digest of the unique key, 1 if the job
--          has a priority
-- returns  for each job that was not accepted: its index (from 1), "known" and its record ("" if much was read
--          already: the caller reads it), or "unique" and the id that holds its key
-- Invariant: a record, its index, its count and its unique key are written together or not at all.

local answers, place, at = {}, 0, 4
while ARGV[at] do
  local type, state, number = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local turn, taken = state == QUEUED and turns(type, number) or 0, number
  at = at + 3
  for offset = 0, number - 1 do
    local id, head, tail, position, unique, named = unpack(ARGV, at, at + 5)
    local fault, detail = accept(id, type, state, head, tail, position, unique, named, turn + offset)
    at, place = at + 6, place + 1
    if fault then
      answers[#answers + 1] = { place, fault, detail }
      taken = taken - 1
    end
  end
  accepted(type, state, taken)
end
finish()
return answers
