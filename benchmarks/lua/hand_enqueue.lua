-- KEYS: ready list. ARGV: id, payload, and so on.
for i = 1, #ARGV, 2 do
  redis.call('HSET', 'job:' .. ARGV[i], 'data', ARGV[i + 1], 'attempt', 0, 'state', 'queued')
  redis.call('RPUSH', KEYS[1], ARGV[i])
end
