"""SQLite as a shared, crash-safe file: one writer thread a process, a lock, and a wake-up socket."""
