-- Renew leases from now.
--
-- ARGV     lease in milliseconds, then for each: id, fence
-- returns  the indexes (from 1) of those that no longer own their job
-- Invariant: only the owner's fence moves the end of a lease; repeating it changes nothing.

local lost, until_ms = {}, int(lease + ARGV[4])
for at = 5, #ARGV, 2 do
  local id = ARGV[at]
  local job = read_head(id)
  if job[FENCE] == ARGV[at + 1] and job[STATE] == PROCESSING then
    redis.call('ZADD', P .. 'processing:' .. job[TYPE], until_ms, id)
  else
    lost[#lost + 1] = (at - 3) / 2
  end
end
return lost
