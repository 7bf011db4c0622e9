-- Replace records by versions without personal data.
--
-- args     jobs: for each: id, SHA-1 of the record as it was read, then of the new one: envelope, data, outcome,
--          history, failure group ("" for none)
-- returns  for each: 1 if it was done, 0 if the record has changed
-- Invariant: fields, indexes and counts stay, except unique key and failure group. What undo kept is removed in the
--            same step. A repetition after a lost reply returns 0: the caller reads again.

local batches = redis.call('ZRANGE', P .. 'batches', 0, -1)

local function forget_undo(id)
  for _, batch in ipairs(batches) do
    redis.call('ZREMRANGEBYLEX', P .. 'undo:' .. batch, '[' .. id .. ' ', '[' .. id .. ' \255')
  end
end

local function erase(id, digest, envelope, data, outcome, history, cause)
  local job = read(id)
  if not job or redis.sha1hex(job[RECORD]) ~= digest then return 0 end
  leave(id, job)
  free_unique(id, job)
  if cause == NO_CAUSE then job[CAUSE] = cause else file_under(job, cause) end
  job[UNIQUE] = ''
  redis.call('SET', job_key(id), assemble(job, envelope, data, '', outcome, history))
  enter(id, job)
  redis.call('DEL', P .. 'progress:' .. id, P .. 'steps:' .. id)
  forget_undo(id)
  return 1
end

local answers = {}
for _, job in ipairs(args.jobs) do answers[#answers + 1] = erase(unpack(job)) end
finish()
return answers
