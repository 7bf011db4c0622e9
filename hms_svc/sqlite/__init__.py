"""SQLite as a shared, crash-safe file: a writer thread, a lock, and a wake-up socket."""
