-- Get up without having been called.
--
-- ARGV     worker
-- returns  nothing of meaning
-- Invariant: repeating it changes nothing.

strike_off(ARGV[4])
return 0
