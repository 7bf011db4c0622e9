-- Lease ready jobs, of each type in the given order, by position within it.
--
-- args     worker, now (Unix ms), lease_ms, limit, lane (0 normal, 1 suspects);
--          types: for each: type, attempts allowed, maximum number of its jobs
-- returns  for each job: id, record up to its data; fewer than there are if the records are large
-- Invariant: new fence, attempt, lease and state are one step. A repetition with the same nonce after a lost reply
--            returns the same jobs, as far as the worker still owns them.

local worker, lease_ms, limit, lane = args.worker, args.lease_ms, args.limit, args.lane
local now = int(args.now)
local until_ms = int(lease + lease_ms)
local receipt = P .. 'claims:' .. worker .. ':' .. lane
local claimed, ids = {}, {}

local function add_answer(id, job)
  local length = job[BODY] + job[ENVELOPE] + job[DATA] - 1
  claimed[#claimed + 1] = id
  claimed[#claimed + 1] = table.concat(job, ' ', 1, WORKER) .. '\n' .. string.sub(job.record, job[BODY], length)
end

local before = redis.call('GET', receipt)
if before and string.sub(before, 1, #NONCE) == NONCE then
  for id, fence in string.gmatch(string.sub(before, #NONCE + 2), '(%S+) (%S+) ') do
    local job = read(id)
    if job and job[FENCE] == fence and job[STATE] == PROCESSING then
      redis.call('ZADD', P .. 'processing:' .. job[TYPE], until_ms, id)
      add_answer(id, job)
    end
  end
  return claimed
end

local function is_expired(job)
  return job[CLAIMS] == '0' and job[EXPIRES] ~= '-' and tonumber(job[EXPIRES]) <= wall
end

local function expire(id, job)
  free_unique(id, job)
  job[STATE], job[POSITION] = DEAD, int(wall)
  file_under(job, cause_of(DEAD, job[TYPE], REASON_EXPIRED, 'runtime'))
  write(id, job, outcome_of(REASON_EXPIRED, 'runtime', END_EXPIRED), step_of(QUEUED, DEAD, CAUSE_EXPIRED, END_EXPIRED))
  enter(id, job)
  count(job[TYPE], 'dead')
  announce(int(wall), 'job.dead', id, '0', event_data(job[TYPE], REASON_EXPIRED, 'runtime', END_EXPIRED), job)
end

local function lease_out(id, job, fence, most)
  job[STATE], job[FENCE], job[LANE], job[WORKER] = PROCESSING, fence, lane, worker
  job[ATTEMPT], job[CLAIMS] = int(job[ATTEMPT] + 1), int(job[CLAIMS] + 1)
  job[STARTED], job[POSITION] = now, until_ms
  local own = job[MOST]
  if own == '0' then job[MOST] = most end
  write(id, job)
  enter(id, job)
  ids[#ids + 1] = id .. ' ' .. fence .. ' '
  job[MOST] = own
  add_answer(id, job)
end

-- Return whether the type may have more jobs than were taken.
local function claim_from(type, most, capacity)
  local key = index_of(QUEUED, type, lane)
  local buried = 0
  while limit > 0 and capacity > 0 and buried < EXPIRED_AT_ONCE and spent <= MOST_BYTES do
    local popped = redis.call('ZPOPMIN', key, portion_of(math.min(limit, capacity)))
    if #popped == 0 then return false end
    local fence = sequence('fence', #popped / 2, wall * 1000)
    tally(type, QUEUED, -#popped / 2)
    for at = 1, #popped, 2 do
      local id = popped[at]
      local job = read(id)
      if not job then
        lose(id, type)
      elseif job[STATE] ~= QUEUED or job[TYPE] ~= type then
        tally(type, QUEUED, 1)
      elseif is_expired(job) then
        expire(id, job)
        buried = buried + 1
      else
        lease_out(id, job, int(fence + (at - 1) / 2), most)
        limit, capacity = limit - 1, capacity - 1
        count(type, 'claimed')
      end
    end
  end
  return true
end

leave_registers(worker)
local left = {}
for _, served in ipairs(args.types) do
  local type, most, capacity = unpack(served)
  redis.call('SADD', P .. 'types', type)
  if not redis.call('HGET', P .. 'queue:' .. type, 'paused_by')
    and claim_from(type, int(most), capacity) then
    left[#left + 1] = type
  end
end
-- If more jobs are left than this worker takes, another worker is notified.
for _, type in ipairs(left) do
  if redis.call('ZCARD', index_of(QUEUED, type, lane)) > 0 then
    add(woken, (lane == '1' and '!' or '') .. type, 'jobs', 1)
  end
end
finish()
if #ids > 0 then
  redis.call('SET', receipt, NONCE .. ' ' .. table.concat(ids), 'PX', int(math.max(lease_ms, 1000)))
end
return claimed
