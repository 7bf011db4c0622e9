-- Append progress and log lines of jobs that are still owned; the last PROGRESS_LINES of each job are kept.
--
-- args     lines: for each: id, fence, time, share or "", message, 1 for a line of its log
-- returns  nothing
-- Invariant: a repetition with the same nonce after a lost reply adds no line again.

local seen = {}
for _, line in ipairs(args.lines) do
  local id, fence, time, share, message, log = unpack(line)
  local job = read_head(id)
  if job[FENCE] == fence and job[STATE] == PROCESSING then
    local key = P .. 'progress:' .. id
    local last = redis.call('XREVRANGE', key, '+', '-', 'COUNT', 1)[1]
    local number = last and tonumber(string.match(last[1], '^(%d+)')) or 0
    if seen[id] == nil then seen[id] = last and last[2][8] == NONCE or false end
    if not seen[id] then
      redis.call('XADD', key, 'MAXLEN', PROGRESS_LINES, int(number + 1) .. '-0', 'a', time, 's', share, 'm', message,
        'n', NONCE, 'l', log)
      redis.call('EXPIRE', key, 2592000)
    end
  end
end
return 0
