-- Remove a worker from the register.
--
-- ARGV     worker
-- returns  nothing
-- Invariant: repeating it changes nothing.

redis.call('ZREM', P .. 'workers', ARGV[4])
redis.call('HDEL', P .. 'worker_info', ARGV[4])
redis.call('HDEL', P .. 'worker_wishes', ARGV[4])
leave_registers(ARGV[4])
return 0
