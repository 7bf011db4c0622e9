-- Accept some members of a batch, with its record if they are the first.
--
-- args     batch, digest, condition, total, at (Unix ms), by, following: ids and types of its follow-ups (JSON),
--          members and follow_ups: for each what batches.make takes, beginning with its id; first, last: whether these
--          are the first members, with the follow-ups, and the last ones
-- returns  "accepted", "exists" if no more are accepted, with the number of members that were left out and the operator
--          who closed the batch before them, "conflict" and the id that belongs to a job of no or another batch, "" if
--          another batch has the id of this one, or "gone" if the record is missing after the first members
-- Invariant: members, the record and what follows are one step. A repetition changes nothing.

local id = args.batch
local key = P .. 'batch:' .. id
local digest, open, left_out, closed_by = unpack(redis.call('HMGET', key, 'digest', 'open', 'left_out', 'closed_by'))
if digest and digest ~= args.digest then return { 'conflict', '' } end
if open == '0' then return { 'exists', '', left_out or '0', closed_by or '' } end
if not digest and not args.first then return { 'gone', '' } end
for _, jobs in ipairs({ args.members, args.follow_ups }) do
  for _, job in ipairs(jobs) do
    local known = read_head(job[1])
    local follows = redis.call('HGET', P .. 'follow-up-ids', job[1]) or id
    if known[STATE] and known[BATCH] ~= id or follows ~= id then return { 'conflict', job[1] } end
  end
end
if not digest then
  redis.call('HSET', key, 'digest', args.digest, 'condition', args.condition, 'total', args.total, 'open', '1',
    'at', int(args.at), 'by', args.by, 'follow_ups', #args.follow_ups, 'following', args.following, 'made', 0,
    'ended', 0, 'removed', 0)
  redis.call('ZADD', P .. 'submitted-batches', int(args.at), id)
  redis.call('SADD', P .. 'unended-batches', id)
  for number, job in ipairs(args.follow_ups) do
    redis.call('HSET', P .. 'follow-ups:' .. id, int(number - 1), cmsgpack.pack(job))
    redis.call('HSET', P .. 'follow-up-ids', job[1], id)
  end
end
local accepted = 0
for _, job in ipairs(args.members) do
  if batches().make(nil, unpack(job)) then accepted = accepted + 1 end
end
redis.call('HINCRBY', key, 'accepted', accepted)
redis.call('ZADD', P .. 'open-batches', int(wall), id)
if args.last then
  redis.call('HSET', key, 'open', '0')
  redis.call('ZREM', P .. 'open-batches', id)
  moved_batches[id] = moved_batches[id] or {}
end
finish()
return { 'accepted', '' }
