"""The database: SQLAlchemy Core over SQLite (and, by one more engine, PostgreSQL)."""
