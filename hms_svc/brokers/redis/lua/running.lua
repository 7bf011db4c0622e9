-- Return the running jobs with their workers.
--
-- args     limit
-- returns  for each job: id, worker, milliseconds until its lease ends
-- Invariant: reads only.

local answers, left = {}, args.limit
for _, type in ipairs(leased_types()) do
  local found = left > 0 and redis.call('ZRANGE', P .. 'processing:' .. type, 0, left - 1, 'WITHSCORES') or {}
  for at = 1, #found, 2 do
    local id = found[at]
    local job = read_head(id)
    answers[#answers + 1] = id
    answers[#answers + 1] = job[WORKER] or ''
    answers[#answers + 1] = tonumber(found[at + 1]) - lease
    left = left - 1
  end
end
return answers
