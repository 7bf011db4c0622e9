-- KEYS: leases, events. ARGV: lifetime of a result in ms, then id, attempt, result, and so on.
-- Who has another attempt than the record's has lost the job, and writes nothing.
local settled = {}
for i = 2, #ARGV, 3 do
  local record = 'job:' .. ARGV[i]
  if redis.call('HGET', record, 'attempt') == ARGV[i + 1] then
    redis.call('HSET', record, 'state', 'done', 'result', ARGV[i + 2])
    redis.call('PEXPIRE', record, ARGV[1])
    redis.call('XADD', KEYS[2], 'MAXLEN', '~', 10000, '*', 'id', ARGV[i], 'state', 'done')
    settled[#settled + 1] = ARGV[i]
  end
end
if #settled > 0 then redis.call('ZREM', KEYS[1], unpack(settled)) end
return #settled
