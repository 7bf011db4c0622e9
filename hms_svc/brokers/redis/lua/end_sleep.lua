-- Leave the registers of waiting workers without having been notified.
--
-- args     worker
-- returns  nothing
-- Invariant: repeating it changes nothing.

leave_registers(args.worker)
return 0
