-- Tell whether an index, a tally, a gauge, a group or a register is gone, and this worker is to mend it.
--
-- ARGV     seconds that a step of the mending may take before another worker may begin it, too
-- returns  1 where the records must be walked, else 0, also while somebody walks them; then the types whose
--          mirror of what is retrying must be written anew (100 at most)
-- Invariant: tallies are added to, indexes are what they are: both change in one step. Groups have to add
--            up to the dead and rejected jobs.

local function is_sound()
  if redis.call('SISMEMBER', P .. 'types', '!') == 0 then return false end
  for _, type in ipairs(types()) do
    local tallied, sums = redis.call('HGETALL', P .. 'queue:' .. type), {}
    for at = 1, #tallied, 2 do sums[tallied[at]] = tallied[at + 1] end
    for state = 1, 10 do
      local name = tostring(state)
      local size = redis.call('ZCARD', index_of(name, type))
      if name == '2' then size = size + redis.call('ZCARD', P .. 'suspects:' .. type) end
      if size ~= tonumber(sums[NAMES[name]] or '0') then return false end
      local told = sums[NAMES[name]] and GAUGES[NAMES[name]] and redis.pcall('HGET', 'stats:' .. type, NAMES[name])
      if told == false or type_of(told) == 'string' and tonumber(told) ~= size then return false end
    end
    if sums.unique and redis.call('HEXISTS', P .. 'unique:' .. type, '!') == 0 then return false end
  end
  return true
end

local function are_groups_sound()
  local missing = 0
  for _, type in ipairs(types()) do
    missing = missing + redis.call('ZCARD', index_of('7', type)) + redis.call('ZCARD', index_of('8', type))
  end
  for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
    missing = missing - redis.call('ZCARD', P .. 'cause:' .. cause)
  end
  return missing == 0
end

local function stale_mirrors()
  local stale = {}
  for _, type in ipairs(types()) do
    if #stale == 100 then break end
    local shown = foreign('ZCARD', mirror_of(type))
    if shown and shown ~= redis.call('ZCARD', index_of('5', type)) then stale[#stale + 1] = type end
  end
  return stale
end

local flag = P .. 'healing'
if redis.call('EXISTS', flag) == 1 then return { 0 } end
if is_sound() and are_groups_sound() then return { 0, unpack(stale_mirrors()) } end
redis.call('SET', flag, '1', 'EX', ARGV[4])
return { 1 }
