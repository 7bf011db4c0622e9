"""The blocking API: `Job`, `Worker`, `dao` and `gov`."""
