-- Dead-letter jobs that have been ready since before a time, of types that no worker serves.
--
-- args     before (Unix ms), limit, types
-- returns  how many
-- Invariant: within one priority the position is the time since which a job has been ready.

local before, left, buried = args.before, args.limit, 0

local function bury(id, type)
  local job = read(id)
  if not job or job[STATE] ~= QUEUED then return end
  local detail = fill(END_UNSERVED, { type = type })
  end_job(id, job, DEAD, outcome_of(REASON_NO_HANDLER, 'runtime', detail), step_of(QUEUED, DEAD, TRIGGER_UNSERVED, detail),
    cause_of(DEAD, type, REASON_NO_HANDLER, 'runtime'))
  announce(wall, 'job.dead', id, 0, event_data(type, REASON_NO_HANDLER, 'runtime', detail), job)
  buried, left = buried + 1, left - 1
end

local function bury_of(key, type)
  local band = -math.huge
  while left > 0 and spent <= MOST_BYTES do
    local low = band == -math.huge and '-inf' or int(band)
    local head = redis.call('ZRANGEBYSCORE', key, low, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2]
    if not head then return end
    band = math.floor(tonumber(head) / PRIORITY_STEP) * PRIORITY_STEP
    local found = redis.call('ZRANGEBYSCORE', key, int(band), '(' .. int(band + before), 'LIMIT', 0, left)
    for _, id in ipairs(found) do bury(id, type) end
    band = band + PRIORITY_STEP
  end
end

for _, type in ipairs(args.types) do
  bury_of(P .. 'queued:' .. type, type)
  for _, name in pairs(QUEUED_INDEXES) do bury_of(P .. name .. ':' .. type, type) end
end
finish()
return buried
