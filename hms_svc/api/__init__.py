"""The blocking surface: `Job`, `Worker`, `dao` and `gov` as the founding document shows them."""
