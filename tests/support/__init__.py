"""Real servers for the tests, and a proxy in front of them."""
