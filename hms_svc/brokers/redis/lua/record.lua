-- Inserted after prelude.lua: reads and writes records.

-- Bytes of records that the script has read: beyond MOST_BYTES it processes no more jobs.
local spent, records_read = 0, 0

local function job_key(id)
  return P .. 'job:' .. id
end

local function parse(record)
  -- Named here, the fields that are set below have room in the table from the beginning.
  local job = {
    worker = '', cause = '', type = '', unique = '', batch = '', case = '', approved = '', type_at = 0, envelope_at = 0,
    case_at = 0, record = record, struct.unpack(HEAD_FORMAT, record)
  }
  local cause_at = HEAD_SIZE + 1 + job[WORKER_SIZE]
  local type_at = cause_at + job[CAUSE_SIZE]
  local unique_at = type_at + job[TYPE_SIZE]
  local envelope_at = unique_at + job[UNIQUE_SIZE]
  local approved_at = job[OUTCOME_AT] - job[APPROVED_SIZE]
  local case_at = approved_at - job[CASE_SIZE]
  job[WORKER] = string.sub(record, HEAD_SIZE + 1, cause_at - 1)
  job[CAUSE] = string.sub(record, cause_at, type_at - 1)
  job[TYPE] = string.sub(record, type_at, unique_at - 1)
  if job[UNIQUE_SIZE] > 0 then
    job[UNIQUE], job[BATCH] = string.match(string.sub(record, unique_at, envelope_at - 1), '^([^/]*)/?(.*)$')
  end
  job[CASE] = string.sub(record, case_at, approved_at - 1)
  job[APPROVED] = string.sub(record, approved_at, job[OUTCOME_AT] - 1)
  job[TYPE_AT], job[ENVELOPE_AT], job[CASE_AT] = type_at, envelope_at, case_at
  return job
end

-- The fields of a record, without the texts behind the unique key; an empty table if it is missing.
local function read_head(id)
  local head = redis.call('GETRANGE', job_key(id), 0, 1023)
  return #head >= HEAD_SIZE and parse(head) or {}
end

-- Whether what was read of a job is a record; it counts as read.
local function is_record(record)
  if not record or #record < HEAD_SIZE then return false end
  spent, records_read = spent + #record, records_read + 1
  return true
end

local function read_record(id)
  local record = redis.call('GET', job_key(id))
  return is_record(record) and record or nil
end

local function read(id)
  local record = read_record(id)
  return record and parse(record)
end

-- How many more records to process, at most `most`, if they are as large as those so far: a few at the beginning, then
-- eight times as many as so far.
local function portion_of(most)
  if records_read == 0 then return math.min(most, 4) end
  local room = math.floor((MOST_BYTES - spent) * records_read / spent)
  return math.max(1, math.min(most, 8 * records_read, room))
end

local function envelope_in(job)
  return string.sub(job[RECORD], job[ENVELOPE_AT], job[ENVELOPE_AT] + job[ENVELOPE_SIZE] - 1)
end

local function data_in(job)
  local first = job[ENVELOPE_AT] + job[ENVELOPE_SIZE]
  return string.sub(job[RECORD], first, first + job[DATA_SIZE] - 1)
end

local function raw_in(job)
  return string.sub(job[RECORD], job[CASE_AT] - job[RAW_SIZE], job[CASE_AT] - 1)
end

local function outcome_in(job)
  return string.sub(job[RECORD], job[OUTCOME_AT], job[OUTCOME_AT] + job[OUTCOME_SIZE] - 1)
end

local function history_in(job)
  return string.sub(job[RECORD], job[OUTCOME_AT] + job[OUTCOME_SIZE])
end

-- A record made of all its fields and texts.
local function assemble(job, envelope, data, raw, outcome, history)
  local unique = job[BATCH] == '' and job[UNIQUE] or job[UNIQUE] .. '/' .. job[BATCH]
  job[WORKER_SIZE], job[CAUSE_SIZE], job[TYPE_SIZE] = #job[WORKER], #job[CAUSE], #job[TYPE]
  job[UNIQUE_SIZE], job[CASE_SIZE], job[APPROVED_SIZE] = #unique, #job[CASE], #job[APPROVED]
  job[ENVELOPE_SIZE], job[DATA_SIZE], job[RAW_SIZE], job[OUTCOME_SIZE] = #envelope, #data, #raw, #outcome
  local texts = job[WORKER] .. job[CAUSE] .. job[TYPE] .. unique .. envelope .. data .. raw .. job[CASE]
    .. job[APPROVED]
  job[OUTCOME_AT] = HEAD_SIZE + 1 + #texts
  return struct.pack(HEAD_FORMAT, unpack(job, 1, FIELD_COUNT)) .. texts .. outcome .. history
end

-- The end of a history that has become too long, from the beginning of a line.
local function shortened(history)
  if #history <= HISTORY_MOST then return history end
  return string.match(string.sub(history, -HISTORY_KEPT), '\n(.*)$') or ''
end

-- Write a job that was read: its changed fields, what stays as it was accepted, a new outcome if there is one, and its
-- history with a further step.
local function write(id, job, outcome, step)
  local record, history = job[RECORD], shortened(history_in(job))
  outcome = outcome or outcome_in(job)
  local accepted = string.sub(record, job[TYPE_AT], job[CASE_AT] - 1)
  job[WORKER_SIZE], job[CAUSE_SIZE], job[CASE_SIZE] = #job[WORKER], #job[CAUSE], #job[CASE]
  job[APPROVED_SIZE], job[OUTCOME_SIZE] = #job[APPROVED], #outcome
  job[OUTCOME_AT] = HEAD_SIZE + 1 + #job[WORKER] + #job[CAUSE] + #accepted + #job[CASE] + #job[APPROVED]
  redis.call('SET', job_key(id), struct.pack(CHANGING_FORMAT, unpack(job, 1, CHANGING_COUNT))
    .. string.sub(record, CHANGING_SIZE + 1, HEAD_SIZE) .. job[WORKER] .. job[CAUSE] .. accepted .. job[CASE]
    .. job[APPROVED] .. outcome .. history .. (step or ''))
end
