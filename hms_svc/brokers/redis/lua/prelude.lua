-- The first of the parts that all scripts share, see scripts.py. A script has those definitions in front of it that it
-- uses; what it uses only in the functions that its header lists as rarely used is defined when one of them is called.
-- A definition begins in the first column. Names in capitals are constants of the program; constants.py fills in their
-- values.
--
-- KEYS[1]  "hms:{namespace}:", the prefix of all internal keys; see keys.py
-- ARGV     1, 2: wall clock and lease clock in milliseconds, both empty to use the server's TIME
--          3: nonce of the call, the same when it is repeated
--          4: the arguments of the script by name (MessagePack), which are `args` below
--
-- A record is one string, see record.py: a binary head, the texts that may change in front of those that stay as they
-- were accepted (type to raw bytes), then case, approvals, outcome and history. APPROVED has the holds that humans have
-- approved since the last denial, which is DENIED, separated by commas. Only prefilter.lua parses payloads. In texts numbers
-- are made by int(), because Lua rounds large numbers in its own conversion; arguments of commands are exact.

local P = KEYS[1]
local NONCE = ARGV[3]
local args = cmsgpack.unpack(ARGV[4])
local wall, lease = tonumber(ARGV[1]), tonumber(ARGV[2])
if not wall then
  local time = redis.call('TIME')
  wall = time[1] * 1000 + math.floor(time[2] / 1000)
  lease = wall
end

local type_of = type

-- A text with its `{name}`s replaced by values.
local function fill(text, values)
  return (string.gsub(text, '{(%w+)}', values))
end

local function int(number)
  return string.format('%d', number)
end

-- The reply to a command on a key that other programs write to, nil if it has another type.
local function foreign(...)
  local answer = redis.pcall(...)
  if type_of(answer) == 'table' and answer.err then return nil end
  return answer
end
