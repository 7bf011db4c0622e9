-- Accept jobs whose records the caller has written; an id that is known is not touched.
--
-- ARGV     for each run of jobs: type, state, number, then for each: id, the line of its record before and
--          after the position, position (of a queued job: what to add to its turn), digest of the unique key,
--          1 where the job names its priority
-- returns  for each job that was not accepted: its place (from 1), "known" and its record ("" where much was read already: ask for it), or "unique" and
--          the id that holds its key
-- Invariant: a record, its index, its tally and its unique key are written together or not at all.

local answers, place, at = {}, 0, 4
while ARGV[at] do
  local type, state, number = ARGV[at], ARGV[at + 1], tonumber(ARGV[at + 2])
  local turn, taken = state == '2' and turns(type, number) or 0, number
  at = at + 3
  for offset = 0, number - 1 do
    local id, head, tail, position, unique, named = unpack(ARGV, at, at + 5)
    local fault, witness = accept(id, type, state, head, tail, position, unique, named, turn + offset)
    at, place = at + 6, place + 1
    if fault then
      answers[#answers + 1] = { place, fault, witness }
      taken = taken - 1
    end
  end
  accepted(type, state, taken)
end
finish()
return answers
