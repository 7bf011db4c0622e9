"""Dialogs: each asks one thing, and gives the answer or None."""
