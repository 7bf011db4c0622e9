-- Remove finished or discarded jobs.
--
-- args     jobs: for each: id, type, state; "" and 0 if only the id is known
-- returns  how many were removed
-- Invariant: a job that has changed since it was found stays.

local removed = 0
for _, found in ipairs(args.jobs) do
  local id, type, state = unpack(found)
  local job = read_head(id)
  if not job[STATE] then job = nil end
  if not job then
    if type ~= '' and redis.call('ZREM', index_of(state, type), id) == 1 then
      tally(type, state, -1)
      if GROUPED[state] then remove_from_groups(id) end
      batches().remove(id, batches().of_lost(id), state)
      removed = removed + 1
    end
  elseif (TERMINAL[job[STATE]] or job[STATE] == DISCARDED) and (type == '' or job[STATE] == state) then
    leave(id, job)
    free_unique(id, job)
    if job[BATCH] ~= '' then batches().remove(id, job[BATCH], job[STATE]) end
    redis.call('UNLINK', job_key(id), P .. 'progress:' .. id, P .. 'steps:' .. id)
    removed = removed + 1
  end
end
finish()
return removed
