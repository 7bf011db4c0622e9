"""The processes of `serve` and of the console: supervisor, workers and HTTP server."""
