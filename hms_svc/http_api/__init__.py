"""The HTTP API: HTTP, WebSocket and server-sent events over the operator service."""
