-- Renew leases from now.
--
-- args     lease_ms; tokens: for each: id, fence
-- returns  the indexes (from 1) of those that no longer own their job
-- Invariant: only the owner's fence moves the end of a lease; repeating it changes nothing.

local lost, until_ms = {}, lease + args.lease_ms
for place, token in ipairs(args.tokens) do
  local id, fence = unpack(token)
  local job = read_head(id)
  if job[FENCE] == fence and job[STATE] == PROCESSING then
    redis.call('ZADD', P .. 'processing:' .. job[TYPE], until_ms, id)
  else
    lost[#lost + 1] = place
  end
end
return lost
