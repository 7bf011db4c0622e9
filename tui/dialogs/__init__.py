"""Dialogs: each returns its answer, or None if it was left."""
