-- Lease ready jobs, of each type in the given order, by position within it.
--
-- args     worker, now (Unix ms), lease_ms, limit, lane (0 normal, 1 suspects);
--          types: for each: type, attempts allowed, maximum number of its jobs
-- returns  for each job: id, record up to its approvals; fewer than there are if the records are large
-- rarely   read, parse, expire, lose, note_batch, free_unique, limiter.room_in_type, limiter.begin_in_type, finish
-- Invariant: new fence, attempt, lease and state are one step. A repetition with the same nonce after a lost reply
--            returns the same jobs, as far as the worker still owns them.

local worker, now, lease_ms, limit, lane = args.worker, args.now, args.lease_ms, args.limit, args.lane
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

-- Continue the batch of a job that was claimed, and free its unique key if it holds it only until then.
local function leave_key(id, record)
  local job = parse(record)
  note_batch(id, job[BATCH], PROCESSING)
  if #job[UNIQUE] > DIGEST_SIZE and job[FENCE] == 0 then free_unique(id, job) end
end

-- Take the jobs whose ids and positions are in `popped`, with consecutive fences; add to `places` where they are now.
-- Return how many have ended, and how many are not queued in this type.
local function take(type, popped, fence, most, places)
  local keys, written = {}, {}
  for at = 1, #popped, 2 do keys[#keys + 1] = job_key(popped[at]) end
  local ended, others = 0, 0
  for number, record in ipairs(redis.call('MGET', unpack(keys))) do
    local id = popped[2 * number - 1]
    if not is_record(record) then
      lose(id, type)
    else
      -- In the order of `record.CHANGING`.
      local _, state, suspect, mark, outcome_size, last_fence, outcome_at, worker_size, cause_size, type_size, unique_size,
        _, attempt, claims, give_backs, crashes, own_most, _, case_size, approved_size, expires, not_before =
        struct.unpack(CHANGING_FORMAT, record)
      local cause_at = HEAD_SIZE + 1 + worker_size
      local type_at = cause_at + cause_size
      if not NAMES[state] then
        lose(id, type)
      elseif state ~= QUEUED or string.sub(record, type_at, type_at + type_size - 1) ~= type then
        others = others + 1
      elseif claims == 0 and expires ~= NO_TIME and expires <= wall then
        expire(id, record)
        ended = ended + 1
      else
        if unique_size > 0 then leave_key(id, record) end
        outcome_at = outcome_at - worker_size + #worker
        record = struct.pack(CHANGING_FORMAT, until_ms, PROCESSING, suspect, mark, outcome_size, fence + number - 1,
          outcome_at, #worker, cause_size, type_size, unique_size, lane, attempt + 1, claims + 1, give_backs, crashes,
          own_most == 0 and most or own_most, now, case_size, approved_size, expires, not_before)
          .. string.sub(record, CHANGING_SIZE + 1, HEAD_SIZE) .. worker .. string.sub(record, cause_at)
        written[#written + 1] = keys[number]
        written[#written + 1] = record
        places[#places + 1] = until_text
        places[#places + 1] = id
        leased[#leased + 1] = id
        leased[#leased + 1] = fence + number - 1
        add_answer(id, record, outcome_at)
      end
    end
  end
  if #written > 0 then redis.call('MSET', unpack(written)) end
  return ended, others
end

-- Return whether the type may have more jobs than were taken, and how many were.
local function claim_from(type, most, capacity)
  local key, has_more, places = index_of(QUEUED, type, lane), true, {}
  local wanted, number, buried = math.min(limit, capacity), 0, 0
  while wanted > 0 and buried < EXPIRED_AT_ONCE and spent <= MOST_BYTES do
    local popped = redis.call('ZPOPMIN', key, portion_of(math.min(wanted, 1000)))
    if #popped == 0 then
      has_more = false
      break
    end
    local fence = sequence('fence', #popped / 2, wall * 1000)
    local ended, others = take(type, popped, fence, most, places)
    number, buried = number + #popped / 2 - others, buried + ended
    wanted = math.min(limit, capacity) - #places / 2
  end
  local taken = #places / 2
  limit = limit - taken
  if number > 0 then write_size(type, QUEUED, -number) end
  if taken > 0 then
    flush('ZADD', index_of(PROCESSING, type), places)
    write_due(PROCESSING, type, until_text)
    write_size(type, PROCESSING, taken)
    write_count(type, 'claimed', taken)
  end
  return has_more, taken
end

leave_registers(worker)
local left = {}
local names = {}
for at, served in ipairs(args.types) do names[at] = served[1] end
if names[1] then redis.call('SADD', P .. 'job-types', unpack(names)) end
for _, served in ipairs(args.types) do
  local type, most, capacity = served[1], served[2], served[3]
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
  if redis.call('ZCARD', index_of(QUEUED, type, lane)) > 0 then wake((lane == 1 and '!' or '') .. type, 1) end
end
-- A job that was lost, has expired or is of a batch has changed more.
if next(tallies) or next(moved_batches) then finish() end
if #leased > 0 then
  redis.call('SET', receipt, NONCE .. cmsgpack.pack(leased), 'PX', math.max(lease_ms, 1000))
end
return claimed
