-- End the leases of a dead worker; the reaper recovers the jobs.
--
-- args     worker
-- returns  the number of jobs
-- Invariant: no record changes; repeating it changes nothing.

local found = 0
for _, type in ipairs(leased_types()) do
  local key = P .. 'processing:' .. type
  for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local job = read_head(id)
    if job[WORKER] == args.worker and job[STATE] == PROCESSING then
      redis.call('ZADD', key, 0, id)
      note_due(PROCESSING, type, 0)
      found = found + 1
    end
  end
end
write_dues()
return found
