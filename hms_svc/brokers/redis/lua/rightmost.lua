-- Return some items from the right end of a list, rightmost first.
--
-- args     list, number: how many at most, bytes after which no more are added, largest: bytes of the largest item,
--          kept: bytes returned of a larger one
-- returns  for each: the item, or, if it is too large, its length and its beginning
-- Invariant: reads only. Items are read one by one, so that a hundred large ones are not one reply.

local answers, size = {}, 0
for at = 1, args.number do
  local item = foreign('LINDEX', args.list, -at)
  if not item then break end
  answers[at] = #item > args.largest and { #item, string.sub(item, 1, args.kept) } or item
  size = size + #item
  if size > args.bytes then break end
end
return answers
