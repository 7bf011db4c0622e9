-- Count the jobs in all failure groups.
--
-- returns  their number
-- Invariant: reads only.

local number = 0
for _, cause in ipairs(redis.call('SMEMBERS', P .. 'causes')) do
  number = number + redis.call('ZCARD', P .. 'cause:' .. cause)
end
return number
