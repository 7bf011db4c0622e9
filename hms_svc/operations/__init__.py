"""The one operator service: what console, CLI and HTTP may read and do. Shows nothing itself."""
