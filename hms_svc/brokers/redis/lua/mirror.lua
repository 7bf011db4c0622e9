-- Show other programs some of the retrying jobs of a type, in the sorted set that mirrors our index.
--
-- args     type, first (index from 0), number
-- returns  how many were shown
-- Invariant: the first portion replaces the mirror; a key of another Redis type is not changed.

local type, first, number = args.type, args.first, args.number
local mirror = mirror_of(type)
if not foreign('ZCARD', mirror) then return 0 end
if first == 0 then redis.call('UNLINK', mirror) end
local found = redis.call('ZRANGE', index_of(RETRYING, type), first, first + number - 1, 'WITHSCORES')
local list = {}
for at = 1, #found, 2 do
  push(list, mirror, seconds_of(tonumber(found[at + 1])))
  push(list, mirror, found[at])
end
for key, pairs_of_it in pairs(list) do flush('ZADD', key, pairs_of_it, redis.pcall) end
return #found / 2
