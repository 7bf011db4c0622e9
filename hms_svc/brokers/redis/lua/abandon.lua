-- End the leases of a dead worker; the reaper recovers the jobs.
--
-- ARGV     worker
-- returns  the number of jobs
-- Invariant: no record changes; repeating it changes nothing.

local found = 0
for _, type in ipairs(leased_types()) do
  local key = P .. 'processing:' .. type
  for _, id in ipairs(redis.call('ZRANGE', key, 0, -1)) do
    local job = { string.match(redis.call('GETRANGE', job_key(id), 0, 1023), PATTERN) }
    if job[WORKER] == ARGV[4] and job[STATE] == '4' then
      redis.call('ZADD', key, 0, id)
      note_due('4', type, 0)
      found = found + 1
    end
  end
end
write_dues()
return found
