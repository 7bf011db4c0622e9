"""The fleet's broker: queue, bus, register and operator's side over one Redis (7.0 and later, Valkey)."""
