-- Change the stored heads of the audit chain.
--
-- args     act: keep, replace or doubt; line: the new one
--          keep, replace: over: the beginning of the line of the newest ("" for none)
--          keep: most: days kept; replace: further: name and line of each further entry
--          doubt: name, most: doubts kept
-- returns  1 if it was done (or had been before), 0 if another head is the newest
-- Invariant: `keep` never lowers the link, and never changes the digest at a link.

local heads, act = P .. 'audit:heads', args.act

local function named(prefix)
  local names = {}
  for _, name in ipairs(redis.call('HKEYS', heads)) do
    if string.sub(name, 1, #prefix) == prefix then names[#names + 1] = name end
  end
  return names
end

if act == 'doubt' then
  if #named('doubt:') < args.most then redis.call('HSETNX', heads, args.name, args.line) end
  return 1
end

local over, line = args.over, args.line
local newest = redis.call('HGET', heads, 'newest')
if newest == line then return 1 end

local function fields(text)
  return string.match(text, '^(%d+) (%S+) (%d+) %d+ %S+$')
end

local function is_over()
  -- No caller can have read an unreadable entry: only `replace` overwrites it.
  if not newest or (act == 'replace' and not fields(newest)) then return over == '' end
  return over ~= '' and string.sub(newest, 1, #over) == over
end

if not is_over() then return 0 end

if act == 'replace' then
  redis.call('DEL', heads)
  redis.call('HSET', heads, 'newest', line, unpack(args.further))
  return 1
end

local function day_of(time)
  return 'day:' .. int(math.floor(time / 86400000))
end

if newest then
  local link, digest, time = fields(newest)
  local new_link, new_digest, new_time = fields(line)
  link, new_link = tonumber(link), tonumber(new_link)
  if new_link < link or (new_link == link and new_digest ~= digest) then return 0 end
  if day_of(time) ~= day_of(new_time) then
    redis.call('HSET', heads, day_of(time), newest)
    local days = named('day:')
    table.sort(days, function(one, other)
      return (tonumber(string.sub(one, 5)) or 0) < (tonumber(string.sub(other, 5)) or 0)
    end)
    for at = 1, #days - args.most do redis.call('HDEL', heads, days[at]) end
  end
end
redis.call('HSET', heads, 'newest', line)
return 1
