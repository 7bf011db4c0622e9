-- Record jobs that can never run: dead letters of foreign bytes, and jobs whose unique key is held.
--
-- ARGV     for each: type, state, id, record, 1 if the job has a priority, time, data of its event
-- returns  for each id that was already known: its index (from 1) and its record
-- Invariant: as in enqueue.lua; the event is published in the same step.

local answers = {}
for at = 4, #ARGV, 7 do
  local known = refuse(unpack(ARGV, at, at + 6))
  if known then answers[#answers + 1] = { (at + 3) / 7, known } end
end
finish()
return answers
