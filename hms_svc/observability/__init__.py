"""Logs, metrics and traces: subscribers, so that nobody else needs to know of them."""
