"""Models, life cycle and pure decisions: no I/O, no asyncio, no clock of its own."""
