-- Decide on the runs of schedules: begin or skip them, pause and resume.
--
-- args     act, and what it needs:
--            "decide": on_time_ms: a run that has been due for longer was missed; schedules, for each: type, cron,
--              overlap, catch_up, data, version; jobs: for each: tick, id, its record without its position, what to
--              add to its time, whether it has a priority; earlier: ticks before those
--            "run": type, id, record, position: what to add to its time, named: whether it has a priority
--            "pause": type, by (operator, "" to resume), reason
-- returns  "decide": for each schedule: up to which time all runs are decided, and the time now; then for each run that
--            was skipped: its tick, and why
--          "run" and "pause": "" if it was done, otherwise why not
-- Invariant: the decision on a run, its job, and the state of its schedule are one step. A repetition after a lost
--            reply decides nothing again; it does not report skipped runs.

note_if_empty()
local states = P .. 'schedules'

-- One that cannot be read is as good as lost.
local function state_of(type)
  local found = redis.call('HGET', states, type)
  if not found then return nil end
  local is_read, state = pcall(cjson.decode, found)
  if not is_read or type_of(state) ~= 'table' or type_of(state.cron) ~= 'string' then return nil end
  return tonumber(state.decided) and state or nil
end

local function keep(type, state)
  redis.call('HSET', states, type, cjson.encode(state))
end

local function declared(state, given)
  if not state then
    state = { cron = given.cron, decided = wall }
  elseif state.cron ~= given.cron then
    state.cron, state.decided = given.cron, wall
  end
  for _, rule in ipairs({ 'overlap', 'catch_up', 'data', 'version' }) do state[rule] = given[rule] end
  return state
end

local function overlap_in(state)
  local job = state.last_job and read_head(state.last_job)
  if not job or not job[STATE] or TERMINAL[job[STATE]] or job[STATE] == DISCARDED then return '' end
  return fill(SKIPPED_OVERLAP, { job = state.last_job, state = NAMES[job[STATE]] })
end

local function obstacle(state, overlap)
  if state.paused_by then return fill(SKIPPED_PAUSED, { by = state.paused_by }) end
  return overlap == 'skip' and overlap_in(state) or ''
end

local function begin(type, id, record, position, named)
  local places = {}
  accept(places, id, type, QUEUED, record, position, false, named, turns(type, 1))
  accepted(type, QUEUED, places)
end

local function skip(state, answer, tick, why)
  state.skipped, state.skipped_at, state.skip_reason = (state.skipped or 0) + 1, tick, why
  answer[#answer + 1] = { int(tick), why }
end

local function decide(given)
  local state = state_of(given.type)
  if #given.jobs == 0 then
    state = declared(state, given)
    keep(given.type, state)
    return { int(state.decided), int(wall) }
  end
  local is_known = state and state.decided <= wall
  state = state or declared(nil, given)
  -- If the state was lost, or is of a clock that was set back, the ids of jobs keep runs from beginning twice.
  local decided = is_known and state.decided or 0
  local function is_fresh(tick) return tick > decided and tick <= wall end
  local fresh, answer = {}, {}
  for _, job in ipairs(given.jobs) do
    if is_fresh(job[1]) then fresh[#fresh + 1] = job end
  end
  if #fresh == 0 then return { int(state.decided), int(wall) } end
  for _, tick in ipairs(given.earlier) do
    if is_fresh(tick) then skip(state, answer, tick, SKIPPED_MISSED) end
  end
  local newest = fresh[#fresh][1]
  local missed = #fresh - math.max(given.catch_up, wall - newest <= args.on_time_ms and 1 or 0)
  for number, job in ipairs(fresh) do
    local tick, id, record, position, named = unpack(job)
    local why = number <= missed and SKIPPED_MISSED or obstacle(state, given.overlap)
    if why ~= '' then
      skip(state, answer, tick, why)
    else
      begin(given.type, id, record, position, named)
      state.last_at, state.last_job = tick, id
    end
  end
  state.decided = newest
  keep(given.type, state)
  table.insert(answer, 1, int(wall))
  table.insert(answer, 1, int(newest))
  return answer
end

local acts = {}

function acts.decide()
  local answers = {}
  for _, given in ipairs(args.schedules) do answers[#answers + 1] = decide(given) end
  return answers
end

function acts.run()
  local state = state_of(args.type)
  if not state then return NOT_KNOWN end
  local why = state.overlap == 'skip' and state.last_job ~= args.id and overlap_in(state) or ''
  if why ~= '' then return why end
  begin(args.type, args.id, args.record, args.position, args.named)
  state.last_at, state.last_job = wall, args.id
  keep(args.type, state)
  return ''
end

function acts.pause()
  local state = state_of(args.type)
  if not state then return NOT_KNOWN end
  if args.by ~= '' then
    state.paused_by, state.paused_at, state.pause_reason = args.by, wall, args.reason
  elseif state.paused_by then
    state.paused_by, state.paused_at, state.pause_reason = nil, nil, nil
    state.decided = math.max(state.decided, wall)
  end
  keep(args.type, state)
  return ''
end

local answer = acts[args.act]()
finish()
return answer
