-- Check some types for a missing index, count, gauge or register; if one is missing, this worker has to repair it.
--
-- args     seconds that a step of the repair may take before another worker may begin it too; types
-- returns  1 if the records must be walked, otherwise 0, also while another worker walks them; how many jobs of these
--          types are retrying, dead or rejected; then the types whose mirror of retrying jobs must be rewritten
-- Invariant: a count and its index change in one step.

local flag, failed = P .. 'healing', 0

local function is_sound(type)
  local tallied, sums = redis.call('HGETALL', P .. 'queue:' .. type), {}
  for at = 1, #tallied, 2 do sums[tallied[at]] = tallied[at + 1] end
  for state = 1, LAST_STATE do
    local size = redis.call('ZCARD', index_of(state, type))
    if state == QUEUED then size = size + further_queued(type) end
    if size ~= tonumber(sums[NAMES[state]] or '0') then return false end
    if GROUPED[state] then failed = failed + size end
    if sums[NAMES[state]] and state < COMPLETED then
      local shown = redis.pcall('HGET', 'stats:' .. type, NAMES[state])
      if not shown or type_of(shown) == 'string' and tonumber(shown) ~= size then return false end
    end
  end
  for _, id in ipairs(redis.call('ZRANDMEMBER', index_of(QUEUED, type, LIMITED), LIMIT_SAMPLE)) do
    if not limiter.is_waiting(type, id) then return false end
  end
  return not sums.unique or redis.call('HEXISTS', P .. 'unique:' .. type, '!') == 1
end

local function register_dues(type)
  for state in pairs(REGISTERS) do
    local head = redis.call('ZRANGE', index_of(state, type), 0, 0, 'WITHSCORES')[2]
    if head then note_due(state, type, tonumber(head)) end
  end
end

local function has_stale_mirror(type)
  local shown = foreign('ZCARD', mirror_of(type))
  return shown and shown ~= redis.call('ZCARD', index_of(RETRYING, type))
end

if redis.call('EXISTS', flag) == 1 then return { 0, 0 } end
local sound, stale = redis.call('SISMEMBER', P .. 'job-types', '!') == 1 and batches().are_sound(), {}
for _, type in ipairs(sound and args.types or {}) do
  sound = sound and is_sound(type)
  register_dues(type)
  if has_stale_mirror(type) then stale[#stale + 1] = type end
end
write_dues()
if sound then return { 0, failed, unpack(stale) } end
redis.call('SET', flag, '1', 'EX', args.seconds)
return { 1, failed }
