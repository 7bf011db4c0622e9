"""SQLite as a shared, crash-safe file: one writer thread for each process, a lock, and a wake-up socket."""
