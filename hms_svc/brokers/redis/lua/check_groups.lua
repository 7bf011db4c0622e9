-- Tell whether the failure groups do not add up to the retrying, dead and rejected jobs, and this worker is to mend them.
--
-- ARGV     seconds that a step of the mending may take before another worker may begin it, too
-- returns  1 where the records must be walked, else 0, also while somebody walks them
-- Invariant: looks at all types in one moment; asked only where sums of several moments differed.

local flag, missing = P .. 'healing', 0
if redis.call('EXISTS', flag) == 1 then return 0 end
for _, type in ipairs(redis.call('SMEMBERS', P .. 'types')) do
  for state in pairs(GROUPED) do missing = missing + redis.call('ZCARD', index_of(state, type)) end
end
for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
  missing = missing - redis.call('ZCARD', P .. 'cause:' .. cause)
end
if missing == 0 then return 0 end
redis.call('SET', flag, '1', 'EX', ARGV[4])
return 1
