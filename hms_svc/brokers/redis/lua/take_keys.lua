-- Assign claimed jobs their unique keys.
--
-- args     claims: for each: id, fence, digest of the key or "" if it is not held beyond the claim, envelope with
--          the key in it, and the rule for it if it is not the usual one, see uniqueness.lua
-- returns  for each: the id of the job that holds the key, its own if it holds it now; "" if the token no longer owns
--          its job
-- Invariant: a key and the record that names it are one step. A repetition after a lost reply returns the same.

local function take(id, fence, digest, envelope, rule)
  local job = read(id)
  if not job or job[FENCE] ~= fence or job[STATE] ~= PROCESSING then return '' end
  if job[UNIQUE] ~= '' then return id end
  local holder
  if rule then
    holder = uniqueness().holder(job[TYPE], digest, rule, id)
  else
    holder = unique_holder(job[TYPE], digest, id)
  end
  if holder then return holder end
  if rule then uniqueness().begin_window(job[TYPE], rule, id) end
  if digest == '' then return id end
  job[UNIQUE] = digest
  redis.call('SET', job_key(id), assemble(job, envelope, data_in(job), raw_in(job), outcome_in(job), history_in(job)))
  hold_unique(id, job[TYPE], digest)
  return id
end

local answers = {}
for _, claim in ipairs(args.claims) do answers[#answers + 1] = take(unpack(claim)) end
return answers
