-- Assign claimed jobs their unique keys.
--
-- args     claims: for each: id, fence, digest of the key, envelope with the key in it
-- returns  for each: the id of the job that holds the key, its own if it holds it now; "" if the token no longer owns
--          its job
-- Invariant: a key and the record that names it are one step. A repetition after a lost reply returns the same.

local function take(id, fence, digest, envelope)
  local job = read(id)
  if not job or job[FENCE] ~= fence or job[STATE] ~= PROCESSING then return '' end
  if job[UNIQUE] ~= '' then return id end
  local holder = unique_holder(job[TYPE], digest, id)
  if holder then return holder end
  job[UNIQUE] = digest
  redis.call('SET', job_key(id), assemble(job, envelope, data_in(job), raw_in(job), outcome_in(job), history_in(job)))
  hold_unique(id, job[TYPE], digest)
  return id
end

local answers = {}
for _, claim in ipairs(args.claims) do answers[#answers + 1] = take(unpack(claim)) end
return answers
