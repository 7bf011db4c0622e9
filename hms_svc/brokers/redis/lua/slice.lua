-- Some records of one index, the highest place first.
--
-- ARGV     index, score and id after which to begin (score "" for the highest place), limit
-- returns  for each: id, score, record ("" where it is gone)
-- Invariant: reads only. Where the id is not in the index any more, the place where it would stand is found
--            by halving, so that many equal scores cost no walk.

local key, score, after, limit = ARGV[4], tonumber(ARGV[5]), ARGV[6], tonumber(ARGV[7])

local function comes_after(rank)
  local at = redis.call('ZREVRANGE', key, rank, rank, 'WITHSCORES')
  local there = tonumber(at[2])
  return there < score or (there == score and at[1] < after)
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
local found = redis.call('ZREVRANGE', key, first, first + limit - 1, 'WITHSCORES')
local answers = {}
for at = 1, #found, 2 do
  answers[#answers + 1] = { found[at], found[at + 1], redis.call('GET', job_key(found[at])) or '' }
end
return answers
