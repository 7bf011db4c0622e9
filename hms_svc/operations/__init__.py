"""The operator service: what console, CLI and HTTP API can read and do. It has no user interface itself."""
