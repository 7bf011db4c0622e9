-- Close an open batch with the members that it has.
--
-- args     batch, by: the operator
-- returns  why it was not closed ("" if it was), the number of its members, and of those that are left out
-- Invariant: the number of members and what follows them are one step. A repetition with the same nonce after a lost
--            reply returns the same.

local receipt = P .. 'reply:' .. NONCE
local known = redis.call('GET', receipt)
if known then return cjson.decode(known) end

local id = args.batch
local key, members_key = P .. 'batch:' .. id, P .. 'members:' .. id

local function close()
  -- In any case: programs without this index have finished or removed a batch without it.
  redis.call('ZREM', P .. 'open-batches', id)
  local open, total, follow_ups, removed, counted, closed_by =
    unpack(redis.call('HMGET', key, 'open', 'total', 'follow_ups', 'removed', 'accepted', 'closed_by'))
  if not open then return { NOT_KNOWN, 0, 0 } end
  if open == '0' then return { closed_by and fill(BATCH_IS_CLOSED, { by = closed_by }) or BATCH_IS_WHOLE, 0, 0 } end
  -- The count is missing if older versions accepted the members, the index if its key was deleted.
  local accepted = math.max(redis.call('ZCARD', members_key) + removed, tonumber(counted or 0))
  -- Members that were removed and submitted again count twice, but an open batch lacks at least one.
  local left_out = math.max(total - follow_ups - accepted, 1)
  redis.call('HSET', key, 'open', '0', 'total', int(follow_ups + accepted), 'closed_by', args.by,
    'left_out', int(left_out))
  moved_batches[id] = {}
  return { '', accepted, left_out }
end

local answer = close()
finish()
if answer[1] == '' and redis.call('EXISTS', members_key) == 0 and batches().is_whole(id) then batches().forget(id) end
redis.call('SET', receipt, cjson.encode(answer), 'EX', 120)
return answer
