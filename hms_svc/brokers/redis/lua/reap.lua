-- Recover jobs whose lease has expired.
--
-- args     limit; known: for each job whose effects are known: id, fence, "none" or "case"
-- returns  the numbers of jobs rescued, dead and cancelled, 1 if there may be more, then id and fence of each with a
--          cancel request whose effects are unknown: it was not changed
-- rarely   read, leave, enter, write, keep_turn, outcome_of, cause_of, end_job, announce, event_data, lose, push,
--          tally, fill, finish, correct_due
-- Invariant: the lease alone decides; find and move are one step, so that a second reaper finds nothing.

local rescued, dead, cancelled = 0, 0, 0
local undecided, known = {}, {}
for _, each in ipairs(args.known) do known[each[1] .. ' ' .. int(each[2])] = each[3] end

local function crash_step(job, state, trigger, detail, crash)
  return '{"at":' .. int(wall) .. ',"target":"' .. NAMES[state] .. '","cause":"' .. trigger
    .. '","detail":' .. cjson.encode(detail) .. ',"started":' .. int(job[STARTED]) .. ',"attempt":' .. job[ATTEMPT]
    .. ',"fence":' .. int(job[FENCE]) .. ',"worker":' .. cjson.encode(job[WORKER])
    .. ',"error":' .. cjson.encode(END_WORKER_DIED .. ': ' .. crash) .. '}\n'
end

local function request_for(id, job)
  local fence, request = string.match(redis.call('HGET', P .. 'cancel-requests', id) or '', '^(%d+) (.*)$')
  if tonumber(fence) ~= job[FENCE] or job[CASE] ~= '' then return nil end
  return cjson.decode(request)
end

local function rescue(id, job, crash)
  local step = crash_step(job, QUEUED, TRIGGER_RESCUED, crash, crash)
  leave(id, job)
  if job[LANE] == 0 then job[ATTEMPT] = job[ATTEMPT] - 1 end
  job[STATE], job[SUSPECT] = QUEUED, 1
  keep_turn(job)
  write(id, job, '{"failure":' .. cjson.encode(END_WORKER_DIED .. ': ' .. crash) .. '}', step)
  enter(id, job)
  rescued = rescued + 1
end

local function finish_off(id, job, state, trigger, reason, by, detail, note, crash)
  local step = crash_step(job, state, trigger, note, crash)
  local outcome = string.sub(outcome_of(reason, by, detail), 1, -2)
    .. ',"failure":' .. cjson.encode(END_WORKER_DIED .. ': ' .. crash) .. '}'
  local cause = state == DEAD and cause_of(DEAD, job[TYPE], reason, END_WORKER_DIED)
  end_job(id, job, state, outcome, step, cause)
  announce(wall, 'job.' .. NAMES[state], id, job[FENCE], event_data(job[TYPE], reason, by, detail), job)
end

local function recover(id, job)
  local alone = job[LANE] == 1
  local crash = fill(alone and END_CRASHED_ALONE or END_CRASHED, { worker = job[WORKER] })
  local most = job[MOST] == 0 and DEFAULT_MAX_ATTEMPTS or job[MOST]
  if alone then job[CRASHES] = job[CRASHES] + 1 end
  local request = request_for(id, job)
  local exhausted = alone and (job[CRASHES] >= MAX_CRASHES or job[ATTEMPT] >= most)
  local effects = known[id .. ' ' .. int(job[FENCE])] or ''
  local fate = FATES[(exhausted and '1 ' or '0 ') .. (request and '1 ' or '0 ') .. effects]
  if fate == FATE_DEAD then
    local detail = fill(END_CRASHES, { crash = crash, crashes = job[CRASHES], attempt = job[ATTEMPT], most = most })
    finish_off(id, job, DEAD, TRIGGER_RESCUED, REASON_CRASHED, 'reaper', detail, crash, crash)
    dead = dead + 1
  elseif fate == FATE_UNDECIDED then
    undecided[#undecided + 1] = id
    undecided[#undecided + 1] = job[FENCE]
    return
  elseif fate == FATE_CANCELLED then
    finish_off(id, job, CANCELLED, TRIGGER_OPERATOR, REASON_CANCELLED, request[1], request[2], request[2], crash)
    cancelled = cancelled + 1
  else
    rescue(id, job, crash)
  end
  redis.call('HDEL', P .. 'cancel-requests', id)
end

local members = due_in('leases', int(lease), 1000)
local more = in_shares(members, int(lease), args.limit, function(id, found)
  local type, job = found.type, read(id)
  if job and job[STATE] == PROCESSING and job[TYPE] == type then
    recover(id, job)
  else
    push(gone, index_of(PROCESSING, type), id)
    freed[type] = (freed[type] or 0) + 1
    if not job then
      tally(type, PROCESSING, -1)
      lose(id, type)
    end
  end
end)
if next(gone) or next(tallies) then finish() end
for _, found in ipairs(members) do correct_due('leases', found) end
return { rescued, dead, cancelled, more and 1 or 0, unpack(undecided) }
