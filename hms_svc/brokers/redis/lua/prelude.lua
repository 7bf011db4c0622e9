-- Set before every script: the record of a job, the indexes of its states, what a script has done to them.
--
-- KEYS[1]  "hms:{namespace}:", before every key that is ours; see keys.py
-- ARGV     1, 2: wall clock and lease clock in milliseconds, both empty for the server's own TIME
--          3: nonce of the call, the same when it is repeated; the script's own follow
--
-- A record is one string: a line of 26 words, then envelope, data, raw bytes and outcome, whose lengths
-- stand in that line, then the trail. APPROVED has the holds that humans have approved since the last
-- deny, which is '!', with commas between; 0 for none. Payloads are opaque here. Numbers go back as text made by int():
-- what Lua makes of a large number by itself is rounded.

local P = KEYS[1]
local NONCE = ARGV[3]
local wall, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  lease = wall
end

local STATE, FENCE, ATTEMPT, CLAIMS, GIVE_BACKS, CRASHES, SUSPECT, LANE = 1, 2, 3, 4, 5, 6, 7, 8
local MOST, PRIORITY, ENQUEUED, EXPIRES, STARTED, POSITION, CAUSE = 9, 10, 11, 12, 13, 14, 15
local APPROVED, ENVELOPE, DATA, RAW, OUTCOME, MARK, CASE, TYPE = 16, 17, 18, 19, 20, 21, 22, 23
local UNIQUE, NOT_BEFORE, WORKER, BODY = 24, 25, 26, 27
local PATTERN = '^' .. string.rep('(%S+) ', 25) .. '(%S+)\n()'
local NAMES = {
  ['1'] = 'scheduled', ['2'] = 'queued', ['3'] = 'held', ['4'] = 'processing', ['5'] = 'retrying',
  ['6'] = 'completed', ['7'] = 'rejected', ['8'] = 'dead', ['9'] = 'cancelled', ['10'] = 'discarded',
}
local TERMINAL = { ['6'] = true, ['7'] = true, ['8'] = true, ['9'] = true }
local FAILED = { ['7'] = true, ['8'] = true }
local GROUPED = { ['5'] = true, ['7'] = true, ['8'] = true }
local GAUGES = { scheduled = true, queued = true, held = true, processing = true, retrying = true }
local PRIORITY_STEP = 8796093022208
local BUS_MOST, CAUSES_MOST, HISTORIES_MOST = '1000000', 1000, 1000
local SLOT_MS, SLOTS = 300000, 12

local type_of = type

local function int(number)
  return string.format('%d', number)
end

-- The answer to a command on a key that other programs write to, nil where its type does not fit.
local function foreign(...)
  local answer = redis.pcall(...)
  if type_of(answer) == 'table' and answer.err then return nil end
  return answer
end

-- Bytes of records that the script has read: beyond so many it takes on no more jobs.
local SPENT_MOST = 4194304
local spent, records_read = 0, 0

local function job_key(id)
  return P .. 'job:' .. id
end

local function parse(record)
  local job = { string.match(record, PATTERN) }
  job.record = record
  return job
end

local function read(id)
  local record = redis.call('GET', job_key(id))
  if not record then return nil end
  spent, records_read = spent + #record, records_read + 1
  return parse(record)
end

-- How many more records to take on, `most` at most, as large as those before; a few while nothing is known of them.
local function portion_of(most)
  if records_read == 0 then return math.min(most, 4) end
  return math.max(1, math.min(most, math.floor((SPENT_MOST - spent) * records_read / spent)))
end

local function outcome_in(job)
  local first = job[BODY] + job[ENVELOPE] + job[DATA] + job[RAW]
  return string.sub(job.record, first, first + job[OUTCOME] - 1)
end

local function write(id, job, outcome, step)
  local record, body = job.record, job[BODY]
  local fixed = body + job[ENVELOPE] + job[DATA] + job[RAW]
  local trail = string.sub(record, fixed + job[OUTCOME])
  if #trail > 1048576 then
    trail = string.match(string.sub(trail, -524288), '\n(.*)$') or ''
  end
  if outcome then
    job[OUTCOME] = int(#outcome)
  else
    outcome = outcome_in(job)
  end
  redis.call('SET', job_key(id), table.concat(job, ' ', 1, WORKER) .. '\n'
    .. string.sub(record, body, fixed - 1) .. outcome .. trail .. (step or ''))
end

local function index_of(state, type, suspect)
  if state == '2' and suspect == '1' then return P .. 'suspects:' .. type end
  return P .. NAMES[state] .. ':' .. type
end

-- The sorted set that shows others what is retrying; no script reads jobs from it.
local function mirror_of(type)
  return 'jobs:' .. type .. ':retry'
end

local function seconds_of(position)
  return string.format('%.3f', position / 1000)
end

-- A text with a comma behind each word, as a list; the same text is taken apart once.
local taken_apart = {}
local function words_of(text)
  local words = taken_apart[text]
  if not words then
    words = {}
    for word in string.gmatch(text, '([^,]+),') do words[#words + 1] = word end
    taken_apart[text] = words
  end
  return words
end

-- What the script has done, written once at its end by finish().
local gone, come, tallies, counters, events = {}, {}, {}, {}, {}
local woken, intakes, causes = {}, {}, {}
local hidden, mirrored = {}, {}
local next_due = {}

-- The registers of what is due next, over all types: "state type", and a time before which none of its jobs is due.
local REGISTERS = { ['1'] = 'due', ['5'] = 'due', ['4'] = 'leases' }

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
  local words = { NAMES[state], type, reason, who, pattern or '' }
  return string.sub(redis.sha1hex(table.concat(words, '\n')), 1, 12)
end

-- Name the failure group of a job that is about to enter: the one of other causes where there is no room.
local function file_under(job, cause)
  local known = P .. 'causes'
  if redis.call('SISMEMBER', known, cause) == 0 then
    if redis.call('SCARD', known) >= CAUSES_MOST then
      cause = cause_of(job[STATE], job[TYPE], '', '', '(other causes)')
    end
    redis.call('SADD', known, cause)
  end
  job[CAUSE] = cause
end

-- A record that an older program wrote has no group yet: it gets one without a pattern.
local function cause_told(job, outcome)
  local readable, told = pcall(cjson.decode, outcome)
  local words = readable and type_of(told) == 'table' and told or {}
  local error = string.match(words.failure or '', '^([^:]+)')
  return cause_of(job[STATE], job[TYPE], words.reason or '', error or words.by or '')
end

-- Take a job whose record is gone out of the failure group that it stands in.
local function strike_from_groups(id)
  for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
    if redis.call('ZREM', P .. 'cause:' .. cause, id) == 1 then causes[cause] = true end
  end
end

local function leave(id, job)
  push(gone, index_of(job[STATE], job[TYPE], job[SUSPECT]), id)
  if GROUPED[job[STATE]] and job[CAUSE] ~= '0' then push(gone, cause_key(job), id) end
  if job[STATE] == '5' then push(hidden, mirror_of(job[TYPE]), id) end
  tally(job[TYPE], job[STATE], -1)
end

local function enter(id, job)
  local state, type = job[STATE], job[TYPE]
  local key = index_of(state, type, job[SUSPECT])
  push(come, key, job[POSITION])
  push(come, key, id)
  note_due(state, type, tonumber(job[POSITION]))
  if state == '5' then
    push(mirrored, mirror_of(type), seconds_of(job[POSITION]))
    push(mirrored, mirror_of(type), id)
  end
  if GROUPED[state] and job[CAUSE] ~= '0' then
    push(come, cause_key(job), job[POSITION])
    push(come, cause_key(job), id)
  end
  tally(type, state, 1)
  if state == '2' then
    add(woken, (job[SUSPECT] == '1' and '!' or '') .. type, 'jobs', 1)
  end
end

-- `job` is the record, where the trace that it came with is not in `data` yet.
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

-- The id of another job that holds this unique key and has not ended, or nil.
local function unique_holder(type, digest, id)
  local holder = redis.call('HGET', P .. 'unique:' .. type, digest)
  if not holder or holder == id then return nil end
  local job = read(holder)
  if not job or TERMINAL[job[STATE]] or job[STATE] == '10' then return nil end
  return holder
end

local function hold_unique(id, type, digest)
  if digest ~= '-' then
    redis.call('HSET', P .. 'unique:' .. type, digest, id, '!', '')
    redis.call('HSET', P .. 'queue:' .. type, 'unique', '1')
  end
end

-- The first of `number` turns: one after the other, and not before now.
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

-- The first of `number` fences or positions: one after the other, never used twice. Time is in it, so that
-- neither a flush nor a replica that was behind gives one out again.
local function sequence(name, number, floor)
  local last = tonumber(redis.call('GET', P .. name) or '0')
  local first = math.max(last + 1, floor)
  redis.call('SET', P .. name, int(first + number - 1))
  return first
end

-- `cause` names the failure group where the job ends as dead or rejected.
local function end_job(id, job, state, outcome, step, cause)
  leave(id, job)
  free_unique(id, job)
  job[STATE], job[SUSPECT], job[WORKER], job[POSITION] = state, '0', '-', int(wall)
  if cause then file_under(job, cause) end
  write(id, job, outcome, step)
  enter(id, job)
  count(job[TYPE], NAMES[state])
end

local function said(type, reason, by, detail)
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

-- A job whose id stood in an index, which it has left, and whose record is gone.
local function lose(id, type)
  local detail = 'its record was missing in the broker'
  local outcome, now = outcome_of('lost', 'runtime', detail), int(wall)
  local job = {
    '8', '0', '0', '0', '0', '0', '0', '0', '0', '0', now, '-', '0', now, '0', '0', '0', '4', '0',
    int(#outcome), 'raw', '-', type, '-', '-', '-',
  }
  file_under(job, cause_of('8', type, 'lost', 'runtime'))
  redis.call('SET', job_key(id), table.concat(job, ' ') .. '\nnull' .. outcome)
  enter(id, job)
  count(type, 'dead')
  announce(int(wall), 'job.dead', id, '0', said(type, 'lost', 'runtime', detail))
end

-- State and type of up to `most` members of a register whose time has come.
local function due_in(register, now, most)
  local found = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', P .. register, '-inf', now, 'LIMIT', 0, most)) do
    local state, type = string.match(member, '^(%d) (.+)$')
    found[#found + 1] = { member = member, state = state, type = type }
  end
  return found
end

-- Call `take` with the ids of each member of a register whose time has come, until it gives false. Each has
-- its share of jobs and of bytes, one job at least, and another comes first each time: so none waits for all of another.
-- Gives whether there was more.
local function in_shares(looked_at, now, most, take)
  local number, more = #looked_at, false
  local share, bytes = math.ceil(most / number), SPENT_MOST / number
  for turn = 1, number do
    local found = looked_at[(wall + turn) % number + 1]
    local last = spent + bytes
    local ids = redis.call('ZRANGEBYSCORE', index_of(found.state, found.type), '-inf', now, 'LIMIT', 0, share + 1)
    for at, id in ipairs(ids) do
      if at > share or most == 0 or spent > SPENT_MOST or spent > last then
        more = true
        break
      end
      most = most - 1
      take(id, found)
    end
  end
  return more
end

-- Make a member of a register what its index says, after finish().
local function correct_due(register, found)
  local head = redis.call('ZRANGE', index_of(found.state, found.type), 0, 0, 'WITHSCORES')[2]
  if head then
    redis.call('ZADD', P .. register, head, found.member)
  else
    redis.call('ZREM', P .. register, found.member)
  end
end

-- The types that may have jobs in somebody's hands.
local function leased_types()
  local found = {}
  for _, each in ipairs(due_in('leases', '+inf', 10000)) do found[#found + 1] = each.type end
  return found
end
