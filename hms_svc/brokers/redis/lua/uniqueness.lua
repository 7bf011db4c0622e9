-- Inserted after limits.lua: which of two jobs with one unique key holds it.
--
-- A rule comes with a job if it is not the usual one: digest of the key, window (ms, 0 for none), for how long (ms) the
-- job waits (0 if it says itself when it is due, -1 if it replaces none; others replace a job that has not been
-- claimed), and how long (ms) after the first of them a successor waits at most.
-- window:{type}:{digest} has the id of the job, and when the window ends (Unix ms).

local made_rules
local function uniqueness()
  if made_rules then return made_rules end
  local rules = {}
  made_rules = rules

  function rules.window_key(type, rule)
    return P .. 'window:' .. type .. ':' .. rule[1]
  end

  function rules.window_holder(type, rule, id)
    if rule[2] == 0 then return nil end
    local value = redis.call('GET', rules.window_key(type, rule))
    local holder, ends = string.match(value or '', '^(%S+) (%d+)$')
    if not holder or holder == id then return nil end
    -- An end that is too far ahead is of a clock that was set back.
    local left = tonumber(ends) - wall
    return left > 0 and left <= rule[2] and holder or nil
  end

  function rules.begin_window(type, rule, id)
    if rule[2] == 0 then return end
    redis.call('SET', rules.window_key(type, rule), id .. ' ' .. int(wall + rule[2]), 'PX', int(rule[2] + 60 * 1000))
  end

  -- The id of another job that holds the key of one that is to be accepted; nil if there is none. If that one is
  -- replaced, also what `replace` takes: its id, the job, and since when its key is held.
  function rules.holder(type, unique, rule, id)
    local holder = rules.window_holder(type, rule, id)
    if holder then return holder end
    if not unique or unique == '' then return nil end
    local job, since
    holder, job, since = unique_holder(type, unique, id)
    if not holder or rule[3] < 0 or job[FENCE] ~= 0 then return holder end
    return holder, { id = holder, job = job, since = since or job[ENQUEUED] }
  end

  -- Since when a job holds its key that may be replaced, nil if it may not.
  function rules.since(other, rule)
    return other and other.since or rule and rule[3] >= 0 and wall or nil
  end

  -- The state and position of a job that replaces another one: it takes its place if that one is ready, and waits at
  -- most until the time of the rule if not.
  function rules.place_after(other, rule, state, position)
    if other.job[STATE] == QUEUED then return QUEUED, other.job[POSITION] end
    if state == SCHEDULED then position = math.min(position, other.since + rule[4]) end
    return state, position
  end

  -- End a job because the job `id` replaces it.
  function rules.replace(other, id)
    local job, detail = other.job, fill(REPLACED_BY, { job = id })
    local source = job[STATE]
    push(gone_again, index_of(source, job[TYPE], job[SUSPECT]), other.id)
    local step = step_of(source, CANCELLED, TRIGGER_REPLACED, detail)
    end_job(other.id, job, CANCELLED, outcome_of(REASON_REPLACED, 'enqueue', detail), step)
    announce(wall, 'job.cancelled', other.id, 0, event_data(job[TYPE], REASON_REPLACED, 'enqueue', detail), job)
  end

  return rules
end
