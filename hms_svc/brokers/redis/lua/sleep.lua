-- Register a worker as waiting, unless there is work.
--
-- args     worker, most_ms: maximum milliseconds to wait, lane (0 normal, 1 suspects), types
-- returns  0 if there is work; otherwise for how many milliseconds the worker may wait: it will be notified of work
--          before, except when a limit of a type lets more jobs begin
-- rarely   limiter.room_in_type
-- Invariant: check and registration are one step, so that no job is missed in between.

local worker, until_ms, lane = args.worker, lease + args.most_ms, args.lane
local wait_ms = args.most_ms
for _, type in ipairs(args.types) do
  if redis.call('ZCARD', index_of(QUEUED, type, lane)) > 0 then
    local paused_by, limits = unpack(redis.call('HMGET', P .. 'queue:' .. type, 'paused_by', 'limits'))
    local room, ahead = 1, args.most_ms
    if limits then room, ahead = limiter.room_in_type(type, limits) end
    if not paused_by and room > 0 then return 0 end
    if not paused_by then wait_ms = math.min(wait_ms, ahead) end
  end
end
local names = {}
for _, type in ipairs(args.types) do
  names[#names + 1] = (lane == 1 and '!' or '') .. type
  redis.call('ZADD', P .. 'waiting:' .. names[#names], until_ms, worker)
end
redis.call('SET', P .. 'waits:' .. worker, table.concat(names, ' '), 'PX', int(math.max(args.most_ms, 1) + 60000))
return math.max(1, math.floor(wait_ms))
