-- Which worker has which job.
--
-- ARGV     limit
-- returns  for each job: id, worker
-- Invariant: reads only.

local answers, left = {}, tonumber(ARGV[4])
for _, type in ipairs(leased_types()) do
  for _, id in ipairs(left > 0 and redis.call('ZRANGE', P .. 'processing:' .. type, 0, left - 1) or {}) do
    local job = { string.match(redis.call('GETRANGE', job_key(id), 0, 1023), PATTERN) }
    answers[#answers + 1] = id
    answers[#answers + 1] = job[WORKER] or '-'
    left = left - 1
  end
end
return answers
