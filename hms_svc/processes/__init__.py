"""The processes of `serve` and of the console: their supervisor, workers and HTTP server."""
