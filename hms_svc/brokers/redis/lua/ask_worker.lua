-- Record an operator's request to a worker, and notify the worker.
--
-- args     worker, request (JSON)
-- returns  1, or 0 if the worker is not in the register
-- Invariant: repeating it changes nothing; the request to a worker that is gone is removed with the next request.

local workers, requests = P .. 'workers', P .. 'worker-requests'
for _, worker in ipairs(redis.call('HKEYS', requests)) do
  if not redis.call('ZSCORE', workers, worker) then redis.call('HDEL', requests, worker) end
end
if not redis.call('ZSCORE', workers, args.worker) then return 0 end
redis.call('HSET', requests, args.worker, args.request)
notify(args.worker, 'news')
return 1
