-- Check whether the failure groups add up to the retrying, dead and rejected jobs; if not, this worker has to repair
-- them.
--
-- args     seconds that a step of the repair may take before another worker may begin it too
-- returns  1 if the records must be walked, otherwise 0, also while another worker walks them
-- Invariant: checks all types in one moment; called only if sums of different moments differ.

local flag, missing = P .. 'healing', 0
if redis.call('EXISTS', flag) == 1 then return 0 end
for _, type in ipairs(redis.call('SMEMBERS', P .. 'job-types')) do
  for state in pairs(GROUPED) do missing = missing + redis.call('ZCARD', index_of(state, type)) end
end
for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
  missing = missing - redis.call('ZCARD', P .. 'cause:' .. cause)
end
if missing == 0 then return 0 end
redis.call('SET', flag, '1', 'EX', args.seconds)
return 1
