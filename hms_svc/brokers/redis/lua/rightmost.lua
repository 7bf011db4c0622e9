-- Return some items from the right end of a list, rightmost first.
--
-- ARGV     list, maximum number, bytes after which no more are added, bytes of the largest item, bytes returned of a
--          larger one
-- returns  for each: the item, or, if it is too large, its length and its beginning
-- Invariant: reads only. Items are read one by one, so that a hundred large ones are not one reply.

local most, kept = tonumber(ARGV[7]), tonumber(ARGV[8])
local answers, size = {}, 0
for at = 1, tonumber(ARGV[5]) do
  local item = foreign('LINDEX', ARGV[4], -at)
  if not item then break end
  answers[at] = #item > most and { #item, string.sub(item, 1, kept) } or item
  size = size + #item
  if size > tonumber(ARGV[6]) then break end
end
return answers
