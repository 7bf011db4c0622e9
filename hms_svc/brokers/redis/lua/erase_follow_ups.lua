-- Remove what is to follow batches that have ended, or that their producer has left open: the turn of such a job is
-- skipped.
--
-- args     ids
-- returns  for each: "" if it was removed, the id of its batch if that is running, false if it is not to follow
-- Invariant: a job is made or removed, not both.

local function remove(id)
  local batch = redis.call('HGET', P .. 'follow-up-ids', id)
  if not batch then return false end
  local open, ended = unpack(redis.call('HMGET', P .. 'batch:' .. batch, 'open', 'ended'))
  if open == '0' and ended == '0' then return batch end
  for at, found in ipairs(batches().following(batch)) do
    if found[1] == id then redis.call('HDEL', P .. 'follow-ups:' .. batch, int(at - 1)) end
  end
  redis.call('HDEL', P .. 'follow-up-ids', id)
  return ''
end

local answers = {}
for at, id in ipairs(args.ids) do answers[at] = remove(id) end
return answers
