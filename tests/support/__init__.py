"""Real servers that belong to the tests, and the proxy that stands in front of them."""
