-- Strike off a failure group whose records do not name it; a group where nothing is left is forgotten.
--
-- ARGV     seconds that the next step of the mending may take, the group, then ids that stand in it
-- returns  how many were struck off
-- Invariant: a job that is retrying, dead or rejected of this cause stays.

local cause, struck = ARGV[5], 0
local key = P .. 'cause:' .. cause

redis.call('SET', P .. 'healing', '1', 'EX', ARGV[4])
for at = 6, #ARGV do
  local job = { string.match(redis.call('GETRANGE', job_key(ARGV[at]), 0, 1023), PATTERN) }
  if not GROUPED[job[STATE]] or job[CAUSE] ~= cause then
    struck = struck + redis.call('ZREM', key, ARGV[at])
  end
end
causes[cause] = true
finish()
return struck
