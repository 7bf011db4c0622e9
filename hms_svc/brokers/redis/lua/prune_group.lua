-- Remove jobs from a failure group that their records do not name; an empty group is removed.
--
-- ARGV     seconds that the next step of the repair may take, the group, then ids in it
-- returns  how many were removed
-- Invariant: a retrying, dead or rejected job of this cause stays.

local cause, removed = ARGV[5], 0
local key = P .. 'cause:' .. cause

redis.call('SET', P .. 'healing', '1', 'EX', ARGV[4])
for at = 6, #ARGV do
  local job = read_head(ARGV[at])
  if not GROUPED[job[STATE]] or job[CAUSE] ~= cause then
    removed = removed + redis.call('ZREM', key, ARGV[at])
  end
end
causes[cause] = true
finish()
return removed
