-- Return some records of many indexes, group after group, with each group's indexes merged, highest position first.
--
-- args     limit: maximum number of records, window: maximum number of records that are considered,
--          score and id after which the first group begins (score "" for the beginning),
--          groups: for each the names of its indexes, prefilter: what the records have to meet, false for all
-- returns  for each record: number of its group (from 1), id, score, record without raw bytes and history ("" if it is
--          missing), and how many records before it did not meet the prefilter; also the last that was considered;
--          fewer than requested if they are large, and none only at the end
-- Invariant: reads only. If the id is no longer in the index, its position is found by binary search, so that many
--            equal scores need no walk. The caller bounds the number of indexes.

local limit, window, score, after = args.limit, args.window, tonumber(args.score), args.id

local function is_higher(score, id, other_score, other_id)
  return score > other_score or (score == other_score and is_lower(other_id, id))
end

local function comes_after(key, rank)
  local at = redis.call('ZREVRANGE', key, rank, rank, 'WITHSCORES')
  return is_higher(score, after, tonumber(at[2]), at[1])
end

local function first_of(key)
  local low, high = 0, redis.call('ZCARD', key)
  while low < high do
    local middle = math.floor((low + high) / 2)
    if comes_after(key, middle) then high = middle else low = middle + 1 end
  end
  return low
end

-- Leave out what a list does not show: refused bytes and the history.
local function shown(job)
  return assemble(job, envelope_in(job), data_in(job), '', outcome_in(job), '')
end

local answers, size = {}, 0
local considered, skipped, last_group, last_key, last_id, last_place = 0, 0, nil, nil, nil, nil
local is_wanted = args.prefilter and checker_of(args.prefilter)

-- `front` is the beginning of the record if a check has read it.
local function add_answer(group, id, place, front)
  local is_whole = front and #front >= HEAD_SIZE and #front < FRONT_READ
  local job = is_whole and parse(front) or read(id)
  local record = job and shown(job) or ''
  answers[#answers + 1] = { group, id, place, record, skipped }
  size = size + math.max(#record, job and #job[RECORD] / 8 or 0)
  skipped = 0
end

local candidate = {}

-- Answer with a job, or skip it; without its place that is looked up if it is needed.
local function consider(group, key, id, place)
  considered = considered + 1
  candidate.id, candidate.front, candidate.has_outcome, candidate.has_data = id, nil, nil, nil
  if not is_wanted or is_wanted(candidate) then
    add_answer(group, id, place or redis.call('ZSCORE', key, id), candidate.front)
  else
    skipped, last_group, last_key, last_id, last_place = skipped + 1, group, key, id, place
  end
end

local function has_room()
  return #answers < limit and considered < window and size <= MOST_BYTES and checked_bytes <= MOST_CHECKED_BYTES
end

-- Read more of an index; return false at its end.
local function read_on(head)
  head.found = redis.call('ZREVRANGE', head.key, head.next, head.next + head.chunk - 1, 'WITHSCORES')
  head.next, head.at = head.next + head.chunk, 1
  return head.found[1] ~= nil
end

local function heads_of(keys, begins_after)
  local heads, chunk = {}, math.max(8, math.ceil((window - considered) / #keys))
  for _, key in ipairs(keys) do
    local head = { key = key, next = begins_after and first_of(key) or 0, chunk = chunk }
    if read_on(head) then heads[#heads + 1] = head end
  end
  return heads
end

local function is_ahead(one, two)
  return is_higher(tonumber(one.found[one.at + 1]), one.found[one.at],
    tonumber(two.found[two.at + 1]), two.found[two.at])
end

-- Move a head down to its place in a heap of `number` heads, with the highest on top.
local function sink(heads, place, number)
  while 2 * place <= number do
    local child = 2 * place
    if child < number and is_ahead(heads[child + 1], heads[child]) then child = child + 1 end
    if not is_ahead(heads[child], heads[place]) then return end
    heads[place], heads[child] = heads[child], heads[place]
    place = child
  end
end

local function merge(group, heads)
  local number = #heads
  for place = math.floor(number / 2), 1, -1 do sink(heads, place, number) end
  while number > 0 and has_room() do
    local head = heads[1]
    consider(group, head.key, head.found[head.at], head.found[head.at + 1])
    head.at = head.at + 2
    if not head.found[head.at] and not read_on(head) then
      heads[1], number = heads[number], number - 1
    end
    sink(heads, 1, number)
  end
end

-- One index needs no merging, and few of its scores: to read them all takes longer than to read the ids.
local function check_one(group, key, first)
  local last = first + window - considered - 1
  for _, id in ipairs(redis.call('ZREVRANGE', key, first, last)) do
    if not has_room() then break end
    consider(group, key, id)
  end
end

for group, keys in ipairs(args.groups) do
  if not has_room() then break end
  local begins_after = group == 1 and score
  if is_wanted and #keys == 1 then
    check_one(group, keys[1], begins_after and first_of(keys[1]) or 0)
  else
    merge(group, heads_of(keys, begins_after))
  end
end
if skipped > 0 then
  skipped = skipped - 1
  add_answer(last_group, last_id, last_place or redis.call('ZSCORE', last_key, last_id))
end
return answers
