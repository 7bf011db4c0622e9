-- Remove a worker from the register.
--
-- args     worker
-- returns  nothing
-- Invariant: repeating it changes nothing.

redis.call('ZREM', P .. 'workers', args.worker)
redis.call('HDEL', P .. 'worker_info', args.worker)
redis.call('HDEL', P .. 'worker-requests', args.worker)
leave_registers(args.worker)
return 0
