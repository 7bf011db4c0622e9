-- Take jobs whose lease has run out from whoever had them.
--
-- ARGV     limit, deaths alone after which a job is dead, attempts where none were named, then for each job of
--          which it is known what its claim has done: id, fence, "none" or "case"
-- returns  the numbers of jobs rescued, dead, cancelled, 1 where there may be more, then id and fence of each that somebody has asked to
--          cancel and of which that is not known: it was left as it is
-- Invariant: the lease alone decides; find and move are one step, so that a second reaper finds nothing.

local most_crashes, default_most = tonumber(ARGV[5]), ARGV[6]
local rescued, dead, cancelled = 0, 0, 0
local undecided, known = {}, {}
for at = 7, #ARGV, 3 do known[ARGV[at] .. ' ' .. ARGV[at + 1]] = ARGV[at + 2] end

local function death_step(job, state, cause, detail, death)
  return '{"at":' .. int(wall) .. ',"target":"' .. NAMES[state] .. '","cause":"' .. cause
    .. '","detail":' .. cjson.encode(detail) .. ',"started":' .. job[STARTED] .. ',"attempt":' .. job[ATTEMPT]
    .. ',"fence":' .. job[FENCE] .. ',"worker":' .. cjson.encode(job[WORKER])
    .. ',"error":' .. cjson.encode('WorkerDied: ' .. death) .. '}\n'
end

local function wish_for(id, job)
  local fence, wish = string.match(redis.call('HGET', P .. 'wishes', id) or '', '^(%d+) (.*)$')
  if fence ~= job[FENCE] or job[CASE] ~= '-' then return nil end
  return cjson.decode(wish)
end

local function rescue(id, job, death)
  local step = death_step(job, '2', 'rescued', death, death)
  leave(id, job)
  if job[LANE] == '0' then job[ATTEMPT] = int(job[ATTEMPT] - 1) end
  job[STATE], job[SUSPECT], job[WORKER] = '2', '1', '-'
  keep_turn(job)
  write(id, job, '{"failure":' .. cjson.encode('WorkerDied: ' .. death) .. '}', step)
  enter(id, job)
  rescued = rescued + 1
end

local function finish_off(id, job, state, cause, reason, by, detail, note, death)
  local step = death_step(job, state, cause, note, death)
  local outcome = string.sub(outcome_of(reason, by, detail), 1, -2)
    .. ',"failure":' .. cjson.encode('WorkerDied: ' .. death) .. '}'
  local cause = state == '8' and cause_of('8', job[TYPE], reason, 'WorkerDied')
  end_job(id, job, state, outcome, step, cause)
  announce(int(wall), 'job.' .. NAMES[state], id, job[FENCE], said(job[TYPE], reason, by, detail), job)
end

local function take_back(id, job)
  local alone = job[LANE] == '1'
  local death = 'worker ' .. job[WORKER] .. ' died with the job in its hands' .. (alone and ', alone' or '')
  local most = job[MOST] == '0' and default_most or job[MOST]
  if alone then job[CRASHES] = int(job[CRASHES] + 1) end
  local wish = wish_for(id, job)
  local done = wish and known[id .. ' ' .. job[FENCE]]
  if alone and (tonumber(job[CRASHES]) >= most_crashes or tonumber(job[ATTEMPT]) >= tonumber(most)) then
    local detail = death .. '; ' .. job[CRASHES] .. ' such deaths in attempt ' .. job[ATTEMPT] .. ' of ' .. most
    finish_off(id, job, '8', 'rescued', 'crashed', 'reaper', detail, death, death)
    dead = dead + 1
  elseif wish and not done then
    undecided[#undecided + 1] = id
    undecided[#undecided + 1] = job[FENCE]
    return
  elseif wish and done == 'none' then
    finish_off(id, job, '9', 'operator', 'cancelled', wish[1], wish[2], wish[2], death)
    cancelled = cancelled + 1
  else
    rescue(id, job, death)
  end
  redis.call('HDEL', P .. 'wishes', id)
end

local looked_at = due_in('leases', int(lease), 1000)
local more = in_shares(looked_at, int(lease), tonumber(ARGV[4]), function(id, found)
  local type, job = found.type, read(id)
  if job and job[STATE] == '4' and job[TYPE] == type then
    take_back(id, job)
  else
    push(gone, index_of('4', type), id)
    if not job then
      tally(type, '4', -1)
      lose(id, type)
    end
  end
end)
finish()
for _, found in ipairs(looked_at) do correct_due('leases', found) end
return { rescued, dead, cancelled, more and 1 or 0, unpack(undecided) }
