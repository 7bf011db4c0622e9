-- Leave the registers of waiting workers without having been notified.
--
-- ARGV     worker
-- returns  nothing
-- Invariant: repeating it changes nothing.

leave_registers(ARGV[4])
return 0
