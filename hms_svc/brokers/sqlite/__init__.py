"""The embedded broker: one SQLite file, shared by all processes of a user on one machine."""
