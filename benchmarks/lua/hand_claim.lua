-- KEYS: ready list, leases. ARGV: how many, end of the lease. Gives id, attempt, payload, and so on.
local ids = redis.call('LPOP', KEYS[1], ARGV[1])
if not ids then return {} end
local claimed, leases = {}, {}
for i, id in ipairs(ids) do
  local record = 'job:' .. id
  claimed[3 * i - 2] = id
  claimed[3 * i - 1] = redis.call('HINCRBY', record, 'attempt', 1)
  claimed[3 * i] = redis.call('HGET', record, 'data')
  leases[2 * i - 1] = ARGV[2]
  leases[2 * i] = id
end
redis.call('ZADD', KEYS[2], unpack(leases))
return claimed
