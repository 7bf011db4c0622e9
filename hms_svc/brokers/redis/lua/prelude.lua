-- Inserted before every script: the record of a job, the indexes of its states, and the collected changes.
-- Names in capitals are constants of the program; constants.py declares those that a script uses in front of it.
--
-- KEYS[1]  "hms:{namespace}:", the prefix of all internal keys; see keys.py
-- ARGV     1, 2: wall clock and lease clock in milliseconds, both empty to use the server's TIME
--          3: nonce of the call, the same when it is repeated
--          4: the arguments of the script by name (MessagePack), which are `args` below
--
-- A record is one string: a line of 26 fields, then envelope, data, raw bytes and outcome, whose lengths are in that
-- line, then the history. APPROVED has the holds that humans have approved since the last denial, which is '!',
-- separated by commas; 0 for none. Payloads are not parsed here. Numbers are returned as text made by int(), because
-- Lua rounds large numbers in its own conversion.

local P = KEYS[1]
local NONCE = ARGV[3]
local args = cmsgpack.unpack(ARGV[4])
local wall, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  lease = wall
end

local BODY = FIELD_COUNT + 1
local PATTERN = '^' .. string.rep('(%S+) ', FIELD_COUNT - 1) .. '(%S+)\n()'

local type_of = type

-- A text with its `{name}`s replaced by values.
local function fill(text, values)
  return (string.gsub(text, '{(%w+)}', values))
end

local function int(number)
  return string.format('%d', number)
end

-- The reply to a command on a key that other programs write to, nil if it has another type.
local function foreign(...)
  local answer = redis.pcall(...)
  if type_of(answer) == 'table' and answer.err then return nil end
  return answer
end

-- Bytes of records that the script has read: beyond MOST_BYTES it processes no more jobs.
local spent, records_read = 0, 0

local function job_key(id)
  return P .. 'job:' .. id
end

local function parse(record)
  local job = { string.match(record, PATTERN) }
  job.record = record
  return job
end

-- The fields of a record, without its bodies.
local function read_head(id)
  return { string.match(redis.call('GETRANGE', job_key(id), 0, 1023), PATTERN) }
end

local function read(id)
  local record = redis.call('GET', job_key(id))
  if not record then return nil end
  spent, records_read = spent + #record, records_read + 1
  return parse(record)
end

-- How many more records to process, at most `most`, if they are as large as those so far; a few at the beginning.
local function portion_of(most)
  if records_read == 0 then return math.min(most, 4) end
  return math.max(1, math.min(most, math.floor((MOST_BYTES - spent) * records_read / spent)))
end

local function outcome_in(job)
  local first = job[BODY] + job[ENVELOPE] + job[DATA] + job[RAW]
  return string.sub(job.record, first, first + job[OUTCOME] - 1)
end

local function write(id, job, outcome, step)
  local record, body = job.record, job[BODY]
  local fixed = body + job[ENVELOPE] + job[DATA] + job[RAW]
  local history = string.sub(record, fixed + job[OUTCOME])
  if #history > HISTORY_MOST then
    history = string.match(string.sub(history, -HISTORY_KEPT), '\n(.*)$') or ''
  end
  if outcome then
    job[OUTCOME] = int(#outcome)
  else
    outcome = outcome_in(job)
  end
  redis.call('SET', job_key(id), table.concat(job, ' ', 1, WORKER) .. '\n'
    .. string.sub(record, body, fixed - 1) .. outcome .. history .. (step or ''))
end

local function index_of(state, type, suspect)
  if state == QUEUED and suspect == '1' then return P .. 'suspects:' .. type end
  return P .. NAMES[state] .. ':' .. type
end

-- The sorted set that shows the retrying jobs to other programs; no script reads jobs from it.
local function mirror_of(type)
  return 'jobs:' .. type .. ':retry'
end

local function seconds_of(position)
  return string.format('%.3f', position / 1000)
end

-- Split a text whose items each end with a comma; the same text is split once.
local split_texts = {}
local function split_list(text)
  local items = split_texts[text]
  if not items then
    items = {}
    for item in string.gmatch(text, '([^,]+),') do items[#items + 1] = item end
    split_texts[text] = items
  end
  return items
end

-- The changes of the script, written once at its end by finish().
local gone, come, tallies, counters, events = {}, {}, {}, {}, {}
local woken, intakes, causes = {}, {}, {}
local hidden, mirrored = {}, {}
local next_due = {}

-- The registers of due times over all types: "state type", and a time before which none of its jobs is due.
local REGISTERS = { [SCHEDULED] = 'due', [RETRYING] = 'due', [PROCESSING] = 'leases' }

local function note_due(state, type, at)
  local register = REGISTERS[state]
  if not register then return end
  local member = state .. ' ' .. type
  if not next_due[member] or next_due[member] > at then next_due[member] = at end
end

local function write_dues()
  for member, at in pairs(next_due) do
    redis.call('ZADD', P .. REGISTERS[string.sub(member, 1, 1)], 'LT', int(at), member)
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
  add(tallies, type, NAMES[state], number)
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

-- A record of an older version has no group yet: it gets one without a pattern.
local function cause_from_outcome(job, outcome)
  local readable, stored = pcall(cjson.decode, outcome)
  local fields = readable and type_of(stored) == 'table' and stored or {}
  local error = string.match(fields.failure or '', '^([^:]+)')
  return cause_of(job[STATE], job[TYPE], fields.reason or '', error or fields.by or '')
end

-- Remove a job whose record is missing from its failure group.
local function remove_from_groups(id)
  for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
    if redis.call('ZREM', P .. 'cause:' .. cause, id) == 1 then causes[cause] = true end
  end
end

local function leave(id, job)
  push(gone, index_of(job[STATE], job[TYPE], job[SUSPECT]), id)
  if GROUPED[job[STATE]] and job[CAUSE] ~= '0' then push(gone, cause_key(job), id) end
  if job[STATE] == RETRYING then push(hidden, mirror_of(job[TYPE]), id) end
  tally(job[TYPE], job[STATE], -1)
end

local function enter(id, job)
  local state, type = job[STATE], job[TYPE]
  local key = index_of(state, type, job[SUSPECT])
  push(come, key, job[POSITION])
  push(come, key, id)
  note_due(state, type, tonumber(job[POSITION]))
  if state == RETRYING then
    push(mirrored, mirror_of(type), seconds_of(job[POSITION]))
    push(mirrored, mirror_of(type), id)
  end
  if GROUPED[state] and job[CAUSE] ~= '0' then
    push(come, cause_key(job), job[POSITION])
    push(come, cause_key(job), id)
  end
  tally(type, state, 1)
  if state == QUEUED then
    add(woken, (job[SUSPECT] == '1' and '!' or '') .. type, 'jobs', 1)
  end
end

-- `job` is the record, if its trace context is not in `data` yet.
local function announce(at, type, id, fence, data, job)
  local envelope = job and string.sub(job.record, job[BODY], job[BODY] + 80) or ''
  local trace = string.match(envelope, '^{"traceparent":"(%x%x%-%x+%-%x+%-%x%x)"')
  if trace then data = '{"hms:traceparent":"' .. trace .. '",' .. string.sub(data, 2) end
  events[#events + 1] = { at, type, id, fence, data }
end

local function free_unique(id, job)
  local key = P .. 'unique:' .. job[TYPE]
  if job[UNIQUE] ~= '-' and redis.call('HGET', key, job[UNIQUE]) == id then
    redis.call('HDEL', key, job[UNIQUE])
  end
end

-- The id of another unfinished job that holds this unique key, or nil.
local function unique_holder(type, digest, id)
  local holder = redis.call('HGET', P .. 'unique:' .. type, digest)
  if not holder or holder == id then return nil end
  local job = read(holder)
  if not job or TERMINAL[job[STATE]] or job[STATE] == DISCARDED then return nil end
  return holder
end

local function hold_unique(id, type, digest)
  if digest ~= '-' then
    redis.call('HSET', P .. 'unique:' .. type, digest, id, '!', '')
    redis.call('HSET', P .. 'queue:' .. type, 'unique', '1')
  end
end

-- The first of `number` consecutive times for queued jobs, not before now.
local function turns(type, number)
  local key = P .. 'queue:' .. type
  local last = tonumber(redis.call('HGET', key, 'turn') or '0')
  local first = math.max(last + 1, wall)
  redis.call('HSET', key, 'turn', int(first + number - 1))
  return first
end

local function take_turn(job)
  job[POSITION] = int(turns(job[TYPE], 1) - job[PRIORITY] * PRIORITY_STEP)
end

local function keep_turn(job)
  job[POSITION] = int(job[ENQUEUED] - job[PRIORITY] * PRIORITY_STEP)
end

-- The first of `number` consecutive fences or positions, never used twice. They begin at the current time, so that
-- neither a flush nor a failover to a stale replica issues one again.
local function sequence(name, number, floor)
  local last = tonumber(redis.call('GET', P .. name) or '0')
  local first = math.max(last + 1, floor)
  redis.call('SET', P .. name, int(first + number - 1))
  return first
end

-- `cause` is the failure group if the job ends as dead or rejected.
local function end_job(id, job, state, outcome, step, cause)
  leave(id, job)
  free_unique(id, job)
  job[STATE], job[SUSPECT], job[WORKER], job[POSITION] = state, '0', '-', int(wall)
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

local function step_of(source, target, cause, detail)
  return '{"at":' .. int(wall) .. ',"target":"' .. NAMES[target] .. '","cause":"' .. cause
    .. '","source":"' .. NAMES[source] .. '","detail":' .. cjson.encode(detail) .. '}\n'
end

-- Record a job as lost: its id was in an index, which it has left, but its record is missing.
local function lose(id, type)
  local outcome, now = outcome_of(REASON_LOST, 'runtime', END_LOST), int(wall)
  local job = {}
  for field = 1, FIELD_COUNT do job[field] = '0' end
  for _, field in ipairs({ EXPIRES, NOT_BEFORE, CASE, UNIQUE, WORKER }) do job[field] = '-' end
  job[STATE], job[TYPE], job[MARK], job[ENQUEUED], job[POSITION] = DEAD, type, REFUSED_BYTES, now, now
  job[DATA], job[OUTCOME] = int(#'null'), int(#outcome)
  file_under(job, cause_of(DEAD, type, REASON_LOST, 'runtime'))
  redis.call('SET', job_key(id), table.concat(job, ' ') .. '\nnull' .. outcome)
  enter(id, job)
  count(type, 'dead')
  announce(int(wall), 'job.dead', id, '0', event_data(type, REASON_LOST, 'runtime', END_LOST))
end

-- State and type of up to `most` due members of a register.
local function due_in(register, now, most)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. register, '-inf', now, 'LIMIT', 0, most)) do
    local state, type = string.match(member, '^(%d) (.+)$')
    found[#found + 1] = { member = member, state = state, type = type }
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
