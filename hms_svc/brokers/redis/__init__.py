"""The broker for fleets, over one Redis (7.0 and later, or Valkey): queue, bus, register, operations."""
