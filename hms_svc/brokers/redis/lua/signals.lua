-- Return the requests to a worker.
--
-- args     worker, types: those it serves
-- returns  1 if suspects of these types wait, an operator's request to the worker (JSON, empty for none),
--          then for each cancel request for one of its jobs: id, request (JSON)
-- Invariant: reads only.

local answers = { 0, redis.call('HGET', P .. 'worker-requests', args.worker) or '' }
for _, type in ipairs(args.types) do
  if redis.call('ZCARD', P .. 'suspects:' .. type) > 0 then answers[1] = 1 end
end
local requests = redis.call('HGETALL', P .. 'cancel-requests')
for at = 1, #requests, 2 do
  local job = read_head(requests[at])
  local fence, request = string.match(requests[at + 1], '^(%d+) (.*)$')
  if job[WORKER] == args.worker and job[STATE] == PROCESSING and job[FENCE] == tonumber(fence) then
    answers[#answers + 1] = requests[at]
    answers[#answers + 1] = request
  end
end
return answers
