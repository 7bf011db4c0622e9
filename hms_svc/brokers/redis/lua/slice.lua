-- Some records of one index, the highest place first.
--
-- ARGV     index, score and id after which to begin (score "" for the highest place), limit
-- returns  for each: id, score, record without raw bytes and trail ("" where it is gone); fewer than asked
--          where they are large, and none at the end only
-- Invariant: reads only. Where the id is not in the index any more, the place where it would stand is found
--            by halving, so that many equal scores cost no walk.

local key, score, after, limit = ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])

-- As sorted sets compare: byte by byte. `<` would follow the locale of the server.
local function is_lower(one, two)
  for at = 1, math.min(#one, #two) do
    local left, right = string.byte(one, at), string.byte(two, at)
    if left ~= right then return left < right end
  end
  return #one < #two
end

local function comes_after(rank)
  local at = redis.call('ZREVRANGE', key, rank, rank, 'WITHSCORES')
  local there = tonumber(at[2])
  return there < score or (there == score and is_lower(at[1], after))
end

local first = 0
if score then
  local low, high = 0, redis.call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_after(middle) then high = middle else low = middle + 1 end
  end
  first = low
end
-- What a list does not show stays here: bytes that were refused, and the trail.
local function shown(job)
  local record, body = job.record, job[BODY]
  local raw = body + job[ENVELOPE] + job[DATA]
  local outcome = raw + job[RAW]
  job[RAW] = '0'
  return table.concat(job, ' ', 1, WORKER) .. '\n' .. string.sub(record, body, raw - 1)
    .. string.sub(record, outcome, outcome + job[OUTCOME] - 1)
end

local found = redis.call('ZREVRANGE', key, first, first + limit - 1, 'WITHSCORES')
local answers, size = {}, 0
for at = 1, #found, 2 do
  local job = read(found[at])
  local record = job and shown(job) or ''
  answers[#answers + 1] = { found[at], found[at + 1], record }
  size = size + math.max(#record, job and #job.record / 8 or 0)
  if size > 4194304 then break end
end
return answers
