-- Lease ready jobs, of each type in the given order, by position within it.
--
-- args     worker, now (Unix ms), lease_ms, limit, lane (0 normal, 1 suspects);
--          types: for each: type, attempts allowed, maximum number of its jobs
-- returns  for each job: id, record up to its approvals; fewer than there are if the records are large
-- Invariant: new fence, attempt, lease and state are one step. A repetition with the same nonce after a lost reply
--            returns the same jobs, as far as the worker still owns them.

local worker, lease_ms, limit, lane = args.worker, args.lease_ms, args.limit, args.lane
local until_ms = lease + lease_ms
local until_text = int(until_ms)
local receipt = P .. 'claims:' .. worker .. ':' .. lane
local claimed, leased = {}, {}

local function add_answer(id, record, outcome_at)
  claimed[#claimed + 1] = id
  claimed[#claimed + 1] = #record < outcome_at and record or string.sub(record, 1, outcome_at - 1)
end

local before = redis.call('GET', receipt)
if before and string.sub(before, 1, #NONCE) == NONCE then
  local already = cmsgpack.unpack(string.sub(before, #NONCE + 1))
  for at = 1, #already, 2 do
    local id = already[at]
    local job = read(id)
    if job and job[FENCE] == already[at + 1] and job[STATE] == PROCESSING then
      redis.call('ZADD', P .. 'processing:' .. job[TYPE], until_ms, id)
      add_answer(id, job[RECORD], job[OUTCOME_AT])
    end
  end
  return claimed
end

local function expire(id, job)
  job = parse(job[RECORD])
  free_unique(id, job)
  job[STATE], job[POSITION] = DEAD, wall
  file_under(job, cause_of(DEAD, job[TYPE], REASON_EXPIRED, 'runtime'))
  write(id, job, outcome_of(REASON_EXPIRED, 'runtime', END_EXPIRED), step_of(QUEUED, DEAD, TRIGGER_EXPIRED, END_EXPIRED))
  enter(id, job)
  count(job[TYPE], 'dead')
  announce(wall, 'job.dead', id, 0, event_data(job[TYPE], REASON_EXPIRED, 'runtime', END_EXPIRED), job)
end

local function lease_out(id, job, fence, most, processing)
  local record, cause_at = job[RECORD], HEAD_SIZE + 1 + job[WORKER_SIZE]
  if job[UNIQUE_SIZE] > 0 then
    note_batch(id, batches().of_front(job), PROCESSING)
    local whole = job[UNIQUE_SIZE] > DIGEST_SIZE and job[FENCE] == 0 and parse(record)
    if whole and #whole[UNIQUE] > DIGEST_SIZE then free_unique(id, whole) end
  end
  job[OUTCOME_AT], job[WORKER_SIZE] = job[OUTCOME_AT] - job[WORKER_SIZE] + #worker, #worker
  job[STATE], job[FENCE], job[LANE] = PROCESSING, fence, lane
  job[ATTEMPT], job[CLAIMS] = job[ATTEMPT] + 1, job[CLAIMS] + 1
  job[STARTED], job[POSITION] = args.now, until_ms
  if job[MOST] == 0 then job[MOST] = most end
  record = struct.pack(CHANGING_FORMAT, unpack(job, 1, CHANGING_COUNT))
    .. string.sub(record, CHANGING_SIZE + 1, HEAD_SIZE) .. worker .. string.sub(record, cause_at)
  redis.call('SET', job_key(id), record)
  add_answer(id, record, job[OUTCOME_AT])
  leased[#leased + 1] = id
  leased[#leased + 1] = fence
  processing[#processing + 1] = until_text
  processing[#processing + 1] = id
end

-- Return whether the type may have more jobs than were taken, and how many were.
local function claim_from(type, most, capacity)
  local key, processing = index_of(QUEUED, type, lane), {}
  local buried, has_more = 0, true
  while limit > 0 and capacity > 0 and buried < EXPIRED_AT_ONCE and spent <= MOST_BYTES do
    local popped = redis.call('ZPOPMIN', key, portion_of(math.min(limit, capacity)))
    if #popped == 0 then
      has_more = false
      break
    end
    local fence = sequence('fence', #popped / 2, wall * 1000)
    tally(type, QUEUED, -#popped / 2)
    for at = 1, #popped, 2 do
      local id = popped[at]
      local record = read_record(id)
      local job = record and parse_front(record, CHANGING_FORMAT)
      if not job or not NAMES[job[STATE]] then
        lose(id, type)
      elseif job[STATE] ~= QUEUED or job[TYPE] ~= type then
        tally(type, QUEUED, 1)
      elseif is_expired(job) then
        expire(id, job)
        buried = buried + 1
      else
        lease_out(id, job, fence + (at - 1) / 2, most, processing)
        limit, capacity = limit - 1, capacity - 1
      end
    end
  end
  if #processing > 0 then
    push_all(come, index_of(PROCESSING, type), processing)
    note_due(PROCESSING, type, until_ms)
    tally(type, PROCESSING, #processing / 2)
    count(type, 'claimed', #processing / 2)
  end
  return has_more, #processing / 2
end

leave_registers(worker)
local left = {}
for _, served in ipairs(args.types) do
  local type, most, capacity = unpack(served)
  redis.call('SADD', P .. 'job-types', type)
  local paused_by, limits = unpack(redis.call('HMGET', P .. 'queue:' .. type, 'paused_by', 'limits'))
  if not paused_by then
    local room = limits and limiter.room_in_type(type, limits) or capacity + 1
    local has_more, number = claim_from(type, most, math.min(capacity, room))
    if limits and number > 0 then limiter.begin_in_type(type, limits, number) end
    if has_more and number < room then left[#left + 1] = type end
  end
end
-- If more jobs are left than this worker takes, another worker is notified.
for _, type in ipairs(left) do
  if redis.call('ZCARD', index_of(QUEUED, type, lane)) > 0 then
    add(woken, (lane == 1 and '!' or '') .. type, 'jobs', 1)
  end
end
finish()
if #leased > 0 then
  redis.call('SET', receipt, NONCE .. cmsgpack.pack(leased), 'PX', math.max(lease_ms, 1000))
end
return claimed
