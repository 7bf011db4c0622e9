"""The doors: HTTP, WebSocket and server-sent events over the operator service."""
