-- Inserted before slice.lua: checks records against a prefilter, see domain/prefilter.py. It lets through every record
-- that the filter may match, also one that it cannot read, and reads no more of a record than its checks need.

-- Bytes that the checks have read, parsed or compared: a script bounds them.
local checked_bytes = 0

local function front_of(job)
  if not job.front then
    job.front = redis.call('GETRANGE', job_key(job.id), 0, FRONT_READ - 1)
    checked_bytes = checked_bytes + #job.front
  end
  return job.front
end

-- A part of the record; that which is beyond its front is read alone.
local function part_of(job, first, size)
  if first + size - 1 <= #job.front then return string.sub(job.front, first, first + size - 1) end
  checked_bytes = checked_bytes + size
  return redis.call('GETRANGE', job_key(job.id), first - 1, first + size - 2)
end

-- A part as JSON: {} if it is empty, nil if it is large or cannot be read.
local function parsed(job, first, size)
  if size == 0 then return {} end
  if size > MOST_PARSED_BYTES then return nil end
  local is_json, value = pcall(cjson.decode, part_of(job, first, size))
  checked_bytes = checked_bytes + size
  if is_json then return value end
end

-- The same of a part that is an object, nil if it is another value: other programs may have written it.
local function parsed_object(job, first, size)
  local value = parsed(job, first, size)
  if type_of(value) == 'table' then return value end
end

local function after_type(front)
  local worker, cause, kind, unique = struct.unpack('<I2BBB', front, AT_WORKER_SIZE)
  return HEAD_SIZE + 1 + worker + cause + kind, unique
end

local function outcome_text(name)
  return function(job, front)
    if not job.has_outcome then
      local first, size = struct.unpack('<I4', front, AT_OUTCOME_AT), struct.unpack('<I4', front, AT_OUTCOME_SIZE)
      job.outcome, job.has_outcome = parsed_object(job, first, size), true
    end
    if job.outcome then return job.outcome[name] or '' end
  end
end

local function number_at(format, place)
  return function(_, front) return (struct.unpack(format, front, place)) end
end

-- How the value of each field is read, nil if it cannot be read.
local fields_of = {
  reason = outcome_text('reason'),
  by = outcome_text('by'),
  detail = outcome_text('detail'),
  failure = outcome_text('failure'),
  attempt = number_at('<i4', AT_ATTEMPT),
  priority = number_at('<i2', AT_PRIORITY),
  enqueued_at = number_at('<i8', AT_ENQUEUED),
  suspect = function(_, front) return struct.unpack('<B', front, AT_SUSPECT) % LIMITED end,
  worker = function(_, front)
    if struct.unpack('<B', front, AT_STATE) ~= PROCESSING then return '' end
    return string.sub(front, HEAD_SIZE + 1, HEAD_SIZE + struct.unpack('<I2', front, AT_WORKER_SIZE))
  end,
  cause = function(_, front)
    if not GROUPED[struct.unpack('<B', front, AT_STATE)] then return '' end
    local worker, cause = struct.unpack('<I2B', front, AT_WORKER_SIZE)
    return string.sub(front, HEAD_SIZE + 1 + worker, HEAD_SIZE + worker + cause)
  end,
  batch = function(_, front)
    local first, size = after_type(front)
    return string.match(string.sub(front, first, first + size - 1), '/(.*)$') or ''
  end,
  case = function(job, front)
    local size, approved = struct.unpack('<I2I2', front, AT_CASE_SIZE)
    return part_of(job, struct.unpack('<I4', front, AT_OUTCOME_AT) - approved - size, size)
  end,
  unique_key = function(job, front)
    local first, size = after_type(front)
    local envelope = parsed_object(job, first + size, (struct.unpack('<I4', front, AT_ENVELOPE_SIZE)))
    local key = envelope and envelope.unique_key
    return key == cjson.null and '' or key or (envelope and '')
  end
}

local function data_from(job)
  if not job.has_data then
    local first, unique = after_type(job.front)
    local envelope, size = struct.unpack('<I4I4', job.front, AT_ENVELOPE_SIZE)
    job.data, job.has_data = parsed(job, first + unique + envelope, size), true
  end
  return job.data
end

-- Compares like sorted sets: byte by byte. `<` would depend on the locale of the server.
local function is_lower(one, two)
  for at = 1, math.min(#one, #two) do
    local left, right = string.byte(one, at), string.byte(two, at)
    if left ~= right then return left < right end
  end
  return #one < #two
end

-- The tests of texts; `folded` cannot decide about a text with characters beyond ASCII.
local tests = {
  ['in'] = function(values, text)
    for _, value in ipairs(values) do
      if text == value then return true end
    end
    return false
  end,
  prefix = function(values, text) return string.sub(text, 1, #values[1]) == values[1] end,
  has = function(values, text) return string.find(text, values[1], 1, true) ~= nil end,
  folded = function(values, text) return string.find(string.lower(text), values[1], 1, true) ~= nil end,
  below = function(values, text) return is_lower(text, values[1]) end,
  above = function(values, text) return is_lower(values[1], text) end
}

-- What it takes to compare one byte, for those that take more.
local weights = { below = 16, above = 16 }

local function fitting(fits)
  if type_of(fits) == 'boolean' then return function() return fits end end
  local negated = fits.negated
  if fits.type == 'Numbers' then
    local low, high = fits.low, fits.high
    return function(number) return (number >= low and number <= high) ~= negated end
  end
  local test, values, is_unsure = tests[fits.test], fits.values, fits.test == 'folded' and not negated
  return function(text)
    checked_bytes = checked_bytes + #text * (weights[fits.test] or 1)
    return test(values, text) ~= negated or (is_unsure and not string.find(text, '^[%z\1-\127]*$'))
  end
end

local function of_field(check)
  local fits, wanted = fitting(check.fits), check.fits.type == 'Numbers' and 'number' or 'string'
  if check.field == 'id' then return function(job) return fits(job.id) end end
  local read_field = fields_of[check.field]
  return function(job)
    local front = front_of(job)
    if #front < HEAD_SIZE then return true end
    local value = read_field(job, front)
    return type_of(value) ~= wanted or fits(value)
  end
end

local function at_path(value, steps)
  for _, step in ipairs(steps) do
    if type_of(value) ~= 'table' then return nil end
    local index = #step < 10 and string.match(step, '^%d+$')
    local next = value[step]
    if next == nil and index then next = value[tonumber(index) + 1] end
    value = next
  end
  return value
end

local function of_data(check)
  local fits, constants = { string = fitting(check.texts), number = fitting(check.numbers) }, {}
  for _, name in ipairs(check.constants) do constants[name] = true end
  return function(job)
    if #front_of(job) < HEAD_SIZE then return true end
    local data = data_from(job)
    if data == nil then return true end
    local value = at_path(data, check.path)
    local fits_kind = fits[type_of(value)]
    if fits_kind then return fits_kind(value) end
    if value == cjson.null then return constants['null'] or false end
    if type_of(value) == 'boolean' then return constants[tostring(value)] or false end
    return constants['missing'] or false
  end
end

-- A function that tells whether a job, a table with its id, meets the condition.
local function checker_of(condition)
  if condition.type == 'FieldCheck' then return of_field(condition) end
  if condition.type == 'DataCheck' then return of_data(condition) end
  local checkers, ends_with = {}, condition.type == 'AnyOf'
  for number, part in ipairs(condition.parts) do checkers[number] = checker_of(part) end
  return function(job)
    for _, holds in ipairs(checkers) do
      if holds(job) == ends_with then return ends_with end
    end
    return not ends_with
  end
end
