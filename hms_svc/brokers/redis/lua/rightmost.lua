-- Some items from the right end of a list, rightmost first.
--
-- ARGV     list, how many at most, bytes after which no more are added
-- returns  the items
-- Invariant: reads only. Items are looked at one by one, so that a hundred large ones are not one answer.

local answers, size = {}, 0
for at = 1, tonumber(ARGV[5]) do
  local item = foreign('LINDEX', ARGV[4], -at)
  if not item then break end
  answers[at] = item
  size = size + #item
  if size > tonumber(ARGV[6]) then break end
end
return answers
