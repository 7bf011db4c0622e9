-- Remove jobs from a failure group that their records do not name; an empty group is removed.
--
-- args     seconds that the next step of the repair may take, cause: the group, ids in it
-- returns  how many were removed
-- Invariant: a retrying, dead or rejected job of this cause stays.

local cause, removed = args.cause, 0
local key = P .. 'cause:' .. cause

redis.call('SET', P .. 'healing', '1', 'EX', args.seconds)
for _, id in ipairs(args.ids) do
  local job = read_head(id)
  if not GROUPED[job[STATE]] or job[CAUSE] ~= cause then
    removed = removed + redis.call('ZREM', key, id)
  end
end
causes[cause] = true
finish()
return removed
