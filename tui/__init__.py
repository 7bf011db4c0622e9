"""The console: a terminal user interface over the operator service. Not built yet."""
