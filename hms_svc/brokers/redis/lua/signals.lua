-- Tell what a worker must hear between claims.
--
-- ARGV     worker, then the types it serves
-- returns  1 where suspects of these types wait, what an operator wants of the worker (JSON, empty for nothing),
--          then for each wish to cancel a job of its: id, wish (JSON)
-- Invariant: reads only.

local answers = { 0, redis.call('HGET', P .. 'worker_wishes', ARGV[4]) or '' }
for at = 5, #ARGV do
  if redis.call('ZCARD', P .. 'suspects:' .. ARGV[at]) > 0 then answers[1] = 1 end
end
local wishes = redis.call('HGETALL', P .. 'wishes')
for at = 1, #wishes, 2 do
  local job = { string.match(redis.call('GETRANGE', job_key(wishes[at]), 0, 1023), PATTERN) }
  local fence, wish = string.match(wishes[at + 1], '^(%d+) (.*)$')
  if job[WORKER] == ARGV[4] and job[STATE] == '4' and job[FENCE] == fence then
    answers[#answers + 1] = wishes[at]
    answers[#answers + 1] = wish
  end
end
return answers
