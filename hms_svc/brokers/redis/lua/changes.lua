-- Inserted after record.lua: the indexes of the states, and the collected changes.

local function flush(command, key, list, run)
  for first = 1, #list, 1000 do
    (run or redis.call)(command, key, unpack(list, first, math.min(first + 999, #list)))
  end
end

-- The keys of indexes by state and type, each made once.
local index_keys = {}
local function index_of(state, type, suspect)
  local name = state == QUEUED and suspect and QUEUED_INDEXES[math.min(suspect, LIMITED)] or NAMES[state]
  local keys = index_keys[name]
  if not keys then
    keys = {}
    index_keys[name] = keys
  end
  local key = keys[type]
  if not key then
    key = P .. name .. ':' .. type
    keys[type] = key
  end
  return key
end

-- How many queued jobs of a type are in indexes of their own.
local function further_queued(type)
  local suspects, limited = P .. QUEUED_INDEXES[1] .. ':' .. type, P .. QUEUED_INDEXES[LIMITED] .. ':' .. type
  if redis.call('EXISTS', suspects, limited) == 0 then return 0 end
  return redis.call('ZCARD', suspects) + redis.call('ZCARD', limited)
end

-- The sorted set that shows the retrying jobs to other programs; no script reads jobs from it.
local function mirror_of(type)
  return 'jobs:' .. type .. ':retry'
end

local function seconds_of(position)
  return string.format('%.3f', position / 1000)
end

-- The changes of the script, written once at its end by finish().
local gone, come, tallies, counters, events = {}, {}, {}, {}, {}
local woken, intakes, causes = {}, {}, {}
local hidden, mirrored = {}, {}
local next_due = {}
-- What leaves an index that it has entered in the same script.
local gone_again = {}
-- By type: how many jobs have stopped running.
local freed = {}

-- The registers of due times over all types: "state type", and a time before which none of its jobs is due.
local REGISTERS = { [SCHEDULED] = 'due', [RETRYING] = 'due', [PROCESSING] = 'leases' }

local function note_due(state, type, at)
  if not REGISTERS[state] then return end
  local dues = next_due[state]
  if not dues then
    dues = {}
    next_due[state] = dues
  end
  if not dues[type] or dues[type] > at then dues[type] = at end
end

local function write_due(state, type, at)
  redis.call('ZADD', P .. REGISTERS[state], 'LT', at, state .. ' ' .. type)
end

local function write_dues()
  for state, dues in pairs(next_due) do
    for type, at in pairs(dues) do write_due(state, type, at) end
  end
end

local function add(sums, type, name, number)
  local sum = sums[type]
  if not sum then
    sum = {}
    sums[type] = sum
  end
  sum[name] = (sum[name] or 0) + number
end

local function tally(type, state, number)
  add(tallies, type, state, number)
end

local function count(type, name, number)
  add(counters, type, name, number or 1)
end

local function push(lists, key, value)
  local list = lists[key]
  if not list then
    list = {}
    lists[key] = list
  end
  list[#list + 1] = value
end

local function push_all(lists, key, values)
  local list = lists[key]
  if not list then
    lists[key] = values
    return
  end
  for _, value in ipairs(values) do list[#list + 1] = value end
end

-- The index of the failure group of a job that is retrying, dead or rejected.
local function cause_key(job)
  causes[job[CAUSE]] = true
  return P .. 'cause:' .. job[CAUSE]
end

-- The id of a failure group, as FailureCause.id; `who` is the class of the error, or who ended the job.
local function cause_of(state, type, reason, who, pattern)
  local fields = { NAMES[state], type, reason, who, pattern or '' }
  return string.sub(redis.sha1hex(table.concat(fields, '\n')), 1, 12)
end

-- Set the failure group of a job before it enters: the one of other causes if there are too many groups.
local function file_under(job, cause)
  local known = P .. 'causes'
  if redis.call('SISMEMBER', known, cause) == 0 then
    if redis.call('SCARD', known) >= MOST_CAUSES then
      cause = cause_of(job[STATE], job[TYPE], '', '', OTHER_CAUSES)
    end
    redis.call('SADD', known, cause)
  end
  job[CAUSE] = cause
end

-- Remove a job whose record is missing from its failure group.
local function remove_from_groups(id)
  for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
    if redis.call('ZREM', P .. 'cause:' .. cause, id) == 1 then causes[cause] = true end
  end
end

local function is_expired(job)
  return job[CLAIMS] == 0 and job[EXPIRES] ~= NO_TIME and job[EXPIRES] <= wall
end

-- Its functions are defined in limits.lua.
local limiter = {}

-- Defined in commit.lua: notifies waiting workers.
local wake

-- Defined in batches.lua: returns its functions.
local batches

-- Of jobs of batches that the script moves, by batch and id: the state.
local moved_batches = {}

local function note_batch(id, batch, state)
  if not batch or batch == '' then return end
  local states = moved_batches[batch]
  if not states then
    states = {}
    moved_batches[batch] = states
  end
  states[id] = state
end

local function leave(id, job)
  local state, type = job[STATE], job[TYPE]
  push(gone, index_of(state, type, job[SUSPECT]), id)
  if GROUPED[state] and job[CAUSE] ~= NO_CAUSE then push(gone, cause_key(job), id) end
  if state == RETRYING then push(hidden, mirror_of(type), id) end
  tally(type, state, -1)
  if state == PROCESSING then freed[type] = (freed[type] or 0) + 1 end
  if state == PROCESSING or job[SUSPECT] >= LIMITED then limiter.leave(id, type) end
  -- Wherever it goes next, it is judged by the limits again.
  if job[SUSPECT] >= LIMITED then job[SUSPECT] = job[SUSPECT] - LIMITED end
end

local function enter(id, job)
  local state, type = job[STATE], job[TYPE]
  local key = index_of(state, type, job[SUSPECT])
  push(come, key, int(job[POSITION]))
  push(come, key, id)
  note_due(state, type, job[POSITION])
  if state == RETRYING then
    push(mirrored, mirror_of(type), seconds_of(job[POSITION]))
    push(mirrored, mirror_of(type), id)
  end
  if GROUPED[state] and job[CAUSE] ~= NO_CAUSE then
    push(come, cause_key(job), job[POSITION])
    push(come, cause_key(job), id)
  end
  tally(type, state, 1)
  note_batch(id, job[BATCH], state)
  if state == QUEUED and job[SUSPECT] < LIMITED then
    add(woken, (job[SUSPECT] == 1 and '!' or '') .. type, 'jobs', 1)
  end
end

-- `job` is the record, if its trace context is not in `data` yet.
local function announce(at, type, id, fence, data, job)
  local envelope = job and string.sub(job[RECORD], job[ENVELOPE_AT], job[ENVELOPE_AT] + 80) or ''
  local trace = string.match(envelope, '^{"traceparent":"(%x%x%-%x+%-%x+%-%x%x)"')
  if trace then data = '{"hms:traceparent":"' .. trace .. '",' .. string.sub(data, 2) end
  events[#events + 1] = { at, type, id, fence, data }
end

-- A unique key is its digest; a letter follows if the job holds it only until it is claimed for the first time.
local function digest_in(unique)
  return string.sub(unique, 1, DIGEST_SIZE)
end

-- Whether a job that has not ended holds a unique key.
local function keeps_unique(job)
  return job[UNIQUE] ~= '' and (#job[UNIQUE] == DIGEST_SIZE or job[FENCE] == 0)
end

local function free_unique(id, job)
  if job[UNIQUE] == '' then return end
  local key, digest = P .. 'unique:' .. job[TYPE], digest_in(job[UNIQUE])
  if string.match(redis.call('HGET', key, digest) or '', '^%S*') == id then redis.call('HDEL', key, digest) end
end

-- The id of another unfinished job that holds this unique key, the job, and since when its key is held if it has
-- replaced others; nil if there is none.
local function unique_holder(type, unique, id)
  local value = redis.call('HGET', P .. 'unique:' .. type, digest_in(unique))
  local holder, since = string.match(value or '', '^(%S+) ?(%d*)$')
  if not holder or holder == id then return nil end
  local job = read(holder)
  if not job or TERMINAL[job[STATE]] or job[STATE] == DISCARDED or not keeps_unique(job) then return nil end
  return holder, job, tonumber(since)
end

local function hold_unique(id, type, unique, since)
  if unique == '' then return end
  local value = since and id .. ' ' .. int(since) or id
  redis.call('HSET', P .. 'unique:' .. type, digest_in(unique), value, '!', '')
  redis.call('HSET', P .. 'queue:' .. type, 'unique', '1')
end

-- The first of `number` consecutive times for queued jobs, not before now; `last` is the last one if it was read.
local function turns(type, number, last)
  local key = P .. 'queue:' .. type
  local first = math.max((last or redis.call('HGET', key, 'turn') or 0) + 1, wall)
  redis.call('HSET', key, 'turn', first + number - 1)
  return first
end

local function take_turn(job)
  job[POSITION] = turns(job[TYPE], 1) - job[PRIORITY] * PRIORITY_STEP
end

local function keep_turn(job)
  job[POSITION] = job[ENQUEUED] - job[PRIORITY] * PRIORITY_STEP
end

-- The first of `number` consecutive fences or positions, never used twice. They begin at the current time, so that
-- neither a flush nor a failover to a stale replica issues one again.
local function sequence(name, number, floor)
  local last = tonumber(redis.call('GET', P .. name) or '0')
  local first = math.max(last + 1, floor)
  redis.call('SET', P .. name, first + number - 1)
  return first
end

-- `cause` is the failure group if the job ends as dead or rejected.
local function end_job(id, job, state, outcome, step, cause)
  leave(id, job)
  free_unique(id, job)
  job[STATE], job[SUSPECT], job[POSITION] = state, 0, wall
  if cause then file_under(job, cause) end
  write(id, job, outcome, step)
  enter(id, job)
  count(job[TYPE], NAMES[state])
end

local function event_data(type, reason, by, detail)
  return '{"type":"' .. type .. '","reason":' .. cjson.encode(reason) .. ',"by":' .. cjson.encode(by)
    .. ',"detail":' .. cjson.encode(detail) .. '}'
end

local function outcome_of(reason, by, detail)
  return '{"reason":' .. cjson.encode(reason) .. ',"by":' .. cjson.encode(by)
    .. ',"detail":' .. cjson.encode(detail) .. '}'
end

local function step_of(source, target, trigger, detail)
  return '{"at":' .. int(wall) .. ',"target":"' .. NAMES[target] .. '","cause":"' .. trigger
    .. '","source":"' .. NAMES[source] .. '","detail":' .. cjson.encode(detail) .. '}\n'
end

-- End a job that has waited for too long, and that has left its index.
local function expire(id, record)
  local job = parse(record)
  free_unique(id, job)
  job[STATE], job[POSITION] = DEAD, wall
  file_under(job, cause_of(DEAD, job[TYPE], REASON_EXPIRED, 'runtime'))
  write(id, job, outcome_of(REASON_EXPIRED, 'runtime', END_EXPIRED), step_of(QUEUED, DEAD, TRIGGER_EXPIRED, END_EXPIRED))
  enter(id, job)
  count(job[TYPE], 'dead')
  announce(wall, 'job.dead', id, 0, event_data(job[TYPE], REASON_EXPIRED, 'runtime', END_EXPIRED), job)
end

-- Record a job as lost: its id was in an index, which it has left, but its record is missing, or is none of this
-- version; its bytes are kept then. `batch` and `raw` are those of a follow-up that cannot be made.
local function lose(id, type, batch, raw)
  raw = raw or redis.call('GET', job_key(id))
  local detail, envelope = raw and END_UNREADABLE or END_LOST, ''
  if raw then envelope = '{"raw_length":' .. #raw .. ',"raw_digest":"sha1:' .. redis.sha1hex(raw) .. '"}' end
  local job = {}
  for field = 1, FIELD_COUNT do job[field] = 0 end
  job[STATE], job[MARK], job[ENQUEUED], job[POSITION] = DEAD, REFUSED_BYTES, wall, wall
  job[EXPIRES], job[NOT_BEFORE] = NO_TIME, NO_TIME
  job[WORKER], job[CAUSE], job[TYPE], job[UNIQUE], job[CASE], job[APPROVED] = '', '', type, '', '', ''
  job[BATCH] = batch or batches().of_lost(id)
  file_under(job, cause_of(DEAD, type, REASON_LOST, 'runtime'))
  limiter.leave(id, type)
  redis.call('SET', job_key(id), assemble(job, envelope, 'null', raw or '', outcome_of(REASON_LOST, 'runtime', detail), ''))
  enter(id, job)
  count(type, 'dead')
  announce(wall, 'job.dead', id, 0, event_data(type, REASON_LOST, 'runtime', detail))
end

-- State and type of up to `most` due members of a register.
local function due_in(register, now, most)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. register, '-inf', now, 'LIMIT', 0, most)) do
    local state, type = string.match(member, '^(%d) (.+)$')
    found[#found + 1] = { member = member, state = tonumber(state), type = type }
  end
  return found
end

-- Call `take` with the due ids of each member of a register. Each member gets a share of jobs and bytes, at least one
-- job, and each call begins with another one, so that no type waits for all jobs of another. Return whether there were
-- more.
local function in_shares(members, now, most, take)
  local number, more = #members, false
  local share, bytes = math.ceil(most / number), MOST_BYTES / number
  for turn = 1, number do
    local found = members[(wall + turn) % number + 1]
    local last = spent + bytes
    local ids = redis.call('ZRANGEBYSCORE', index_of(found.state, found.type), '-inf', now, 'LIMIT', 0, share + 1)
    for at, id in ipairs(ids) do
      if at > share or most == 0 or spent > MOST_BYTES or spent > last then
        more = true
        break
      end
      most = most - 1
      take(id, found)
    end
  end
  return more
end

-- Correct a member of a register to match its index, after finish().
local function correct_due(register, found)
  local head = redis.call('ZRANGE', index_of(found.state, found.type), 0, 0, 'WITHSCORES')[2]
  if head then
    redis.call('ZADD', P .. register, head, found.member)
  else
    redis.call('ZREM', P .. register, found.member)
  end
end

-- The types that may have running jobs.
local function leased_types()
  local found = {}
  for _, each in ipairs(due_in('leases', '+inf', 10000)) do found[#found + 1] = each.type end
  return found
end
