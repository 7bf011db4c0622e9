-- Take a worker out of the register.
--
-- ARGV     worker
-- returns  nothing of meaning
-- Invariant: repeating it changes nothing.

redis.call('ZREM', P .. 'workers', ARGV[4])
redis.call('HDEL', P .. 'worker_info', ARGV[4])
for _, type in ipairs(types()) do
  redis.call('ZREM', P .. 'sleepers:' .. type, ARGV[4])
  redis.call('ZREM', P .. 'sleepers:!' .. type, ARGV[4])
end
return 0
