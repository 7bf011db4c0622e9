"""Widgets: rows and lines down, messages up. None of them awaits anything."""
