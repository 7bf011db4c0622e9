-- Take a worker out of the register.
--
-- ARGV     worker
-- returns  nothing of meaning
-- Invariant: repeating it changes nothing.

redis.call('ZREM', P .. 'workers', ARGV[4])
redis.call('HDEL', P .. 'worker_info', ARGV[4])
redis.call('HDEL', P .. 'worker_wishes', ARGV[4])
strike_off(ARGV[4])
return 0
