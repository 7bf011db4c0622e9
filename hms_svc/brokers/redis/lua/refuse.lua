-- Record jobs that can never run: dead letters of foreign bytes, and jobs whose unique key is held.
--
-- args     jobs: for each: type, state, id, record, whether the job has a priority, time, data of its event
-- returns  for each id that was already known: its index (from 1) and its record
-- Invariant: as in enqueue.lua; the event is published in the same step.

note_if_empty()
local answers = {}
for place, job in ipairs(args.jobs) do
  local known = refuse(unpack(job))
  if known then answers[#answers + 1] = { place, known } end
end
finish()
return answers
