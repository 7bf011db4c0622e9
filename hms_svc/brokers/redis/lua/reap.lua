-- Recover jobs whose lease has expired.
--
-- ARGV     limit, crashes in the suspect lane after which a job is dead, default number of attempts, then for each job
--          whose effects are known: id, fence, "none" or "case"
-- returns  the numbers of jobs rescued, dead and cancelled, 1 if there may be more, then id and fence of each with a
--          cancel request whose effects are unknown: it was not changed
-- Invariant: the lease alone decides; find and move are one step, so that a second reaper finds nothing.

local most_crashes, default_most = tonumber(ARGV[5]), ARGV[6]
local rescued, dead, cancelled = 0, 0, 0
local undecided, known = {}, {}
for at = 7, #ARGV, 3 do known[ARGV[at] .. ' ' .. ARGV[at + 1]] = ARGV[at + 2] end

local function crash_step(job, state, cause, detail, crash)
  return '{"at":' .. int(wall) .. ',"target":"' .. NAMES[state] .. '","cause":"' .. cause
    .. '","detail":' .. cjson.encode(detail) .. ',"started":' .. job[STARTED] .. ',"attempt":' .. job[ATTEMPT]
    .. ',"fence":' .. job[FENCE] .. ',"worker":' .. cjson.encode(job[WORKER])
    .. ',"error":' .. cjson.encode('WorkerDied: ' .. crash) .. '}\n'
end

local function request_for(id, job)
  local fence, request = string.match(redis.call('HGET', P .. 'wishes', id) or '', '^(%d+) (.*)$')
  if fence ~= job[FENCE] or job[CASE] ~= '-' then return nil end
  return cjson.decode(request)
end

local function rescue(id, job, crash)
  local step = crash_step(job, '2', 'rescued', crash, crash)
  leave(id, job)
  if job[LANE] == '0' then job[ATTEMPT] = int(job[ATTEMPT] - 1) end
  job[STATE], job[SUSPECT], job[WORKER] = '2', '1', '-'
  keep_turn(job)
  write(id, job, '{"failure":' .. cjson.encode('WorkerDied: ' .. crash) .. '}', step)
  enter(id, job)
  rescued = rescued + 1
end

local function finish_off(id, job, state, cause, reason, by, detail, note, crash)
  local step = crash_step(job, state, cause, note, crash)
  local outcome = string.sub(outcome_of(reason, by, detail), 1, -2)
    .. ',"failure":' .. cjson.encode('WorkerDied: ' .. crash) .. '}'
  local cause = state == '8' and cause_of('8', job[TYPE], reason, 'WorkerDied')
  end_job(id, job, state, outcome, step, cause)
  announce(int(wall), 'job.' .. NAMES[state], id, job[FENCE], event_data(job[TYPE], reason, by, detail), job)
end

local function recover(id, job)
  local alone = job[LANE] == '1'
  local crash = 'worker ' .. job[WORKER] .. ' died while running the job' .. (alone and ', alone' or '')
  local most = job[MOST] == '0' and default_most or job[MOST]
  if alone then job[CRASHES] = int(job[CRASHES] + 1) end
  local request = request_for(id, job)
  local done = request and known[id .. ' ' .. job[FENCE]]
  if alone and (tonumber(job[CRASHES]) >= most_crashes or tonumber(job[ATTEMPT]) >= tonumber(most)) then
    local detail = crash .. '; ' .. job[CRASHES] .. ' such crashes in attempt ' .. job[ATTEMPT] .. ' of ' .. most
    finish_off(id, job, '8', 'rescued', 'crashed', 'reaper', detail, crash, crash)
    dead = dead + 1
  elseif request and not done then
    undecided[#undecided + 1] = id
    undecided[#undecided + 1] = job[FENCE]
    return
  elseif request and done == 'none' then
    finish_off(id, job, '9', 'operator', 'cancelled', request[1], request[2], request[2], crash)
    cancelled = cancelled + 1
  else
    rescue(id, job, crash)
  end
  redis.call('HDEL', P .. 'wishes', id)
end

local members = due_in('leases', int(lease), 1000)
local more = in_shares(members, int(lease), tonumber(ARGV[4]), function(id, found)
  local type, job = found.type, read(id)
  if job and job[STATE] == '4' and job[TYPE] == type then
    recover(id, job)
  else
    push(gone, index_of('4', type), id)
    if not job then
      tally(type, '4', -1)
      lose(id, type)
    end
  end
end)
finish()
for _, found in ipairs(members) do correct_due('leases', found) end
return { rescued, dead, cancelled, more and 1 or 0, unpack(undecided) }
