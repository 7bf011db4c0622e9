-- Set counts and gauges to the sizes of the indexes, after the records were walked.
--
-- args     types
-- returns  nothing
-- Invariant: counts and indexes agree in one step.

redis.call('SADD', P .. 'job-types', '!')
for _, type in ipairs(args.types) do
  for state = 1, LAST_STATE do
    local size = redis.call('ZCARD', index_of(state, type))
    if state == QUEUED then size = size + further_queued(type) end
    redis.call('HSET', P .. 'queue:' .. type, NAMES[state], size)
    if state < COMPLETED then redis.pcall('HSET', 'stats:' .. type, NAMES[state], size) end
  end
  if redis.call('HEXISTS', P .. 'queue:' .. type, 'unique') == 1 then
    redis.call('HSET', P .. 'unique:' .. type, '!', '')
  end
  add(woken, type, 'jobs', math.min(8, redis.call('ZCARD', P .. 'queued:' .. type)))
end
finish()
return 0
