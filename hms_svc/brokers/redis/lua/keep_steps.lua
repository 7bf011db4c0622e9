-- Keep results of steps, and cursors, of jobs that are still owned.
--
-- args     steps: for each: id, fence, name ("" for the cursor), value; most: steps of one job
-- returns  for each: 1 if it is kept, 0 if the token no longer owns its job, 2 if the job has too many
-- Invariant: only the owner's fence writes; repeating it changes nothing.

local answers = {}
for at, step in ipairs(args.steps) do
  local id, fence, name, value = unpack(step)
  local job, key = read_head(id), P .. 'steps:' .. id
  if job[FENCE] ~= fence or job[STATE] ~= PROCESSING then
    answers[at] = 0
  elseif redis.call('HLEN', key) >= args.most and redis.call('HEXISTS', key, name) == 0 then
    answers[at] = 2
  else
    redis.call('HSET', key, name, value)
    redis.call('EXPIRE', key, STEPS_KEPT_SECONDS)
    answers[at] = 1
  end
end
return answers
