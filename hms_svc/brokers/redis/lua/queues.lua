-- Return the state of some queues at one moment.
--
-- args     types
-- returns  for each type: type, sizes of the ten states in order, length of the intake, running counters (name,
--          number, …), who paused it, why, 1 if the HTTP API refuses new jobs too, when the next scheduled job is
--          due, when the job that has waited longest was enqueued (both Unix ms, 0 for none), then the keys of other
--          programs that have a wrong type, with their types, then how many leases have expired, and how many
--          milliseconds ago the first of them did, its limits (JSON, empty for none), how many queued jobs wait for a
--          limit with a key, its limits with a key, and how many queued jobs are suspects
-- Invariant: reads only; work is bounded by types and priorities.

local answers = {}

local function oldest_of(key)
  local oldest, low = 0, '-inf'
  for _ = 1, 64 do
    local head = redis.call('ZRANGEBYSCORE', key, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
    if not head[1] then break end
    local job = read_head(head[1])
    local at = job[ENQUEUED] or 0
    if at > 0 and (oldest == 0 or at < oldest) then oldest = at end
    low = int((math.floor(tonumber(head[2]) / PRIORITY_STEP) + 1) * PRIORITY_STEP)
  end
  return oldest
end

for _, type in ipairs(args.types) do
  local sizes = {}
  for state = 1, LAST_STATE do sizes[state] = redis.call('ZCARD', index_of(state, type)) end
  sizes[QUEUED] = sizes[QUEUED] + further_queued(type)
  local paused = redis.call('HMGET', P .. 'queue:' .. type, 'paused_by', 'pause_reason', 'intake_paused', 'limits',
    'keyed_limits')
  local due = redis.call('ZRANGE', P .. 'scheduled:' .. type, 0, 0, 'WITHSCORES')[2]
  local leases = P .. 'processing:' .. type
  local ended = tonumber(redis.call('ZRANGE', leases, 0, 0, 'WITHSCORES')[2])
  local oldest = oldest_of(index_of(QUEUED, type))
  for _, name in pairs(QUEUED_INDEXES) do
    local among = oldest_of(P .. name .. ':' .. type)
    if among > 0 and (oldest == 0 or among < oldest) then oldest = among end
  end
  answers[#answers + 1] = {
    type, sizes, intake_of(type), foreign('HGETALL', 'stats:' .. type) or {}, paused[1], paused[2] or '',
    paused[3] or '0', due and int(tonumber(due)) or '0', int(oldest), misplaced(type),
    redis.call('ZCOUNT', leases, '-inf', int(lease)), int(ended and lease - ended or 0), paused[4] or '',
    redis.call('ZCARD', index_of(QUEUED, type, LIMITED)), paused[5] or '', redis.call('ZCARD', index_of(QUEUED, type, 1)),
  }
end
return answers
