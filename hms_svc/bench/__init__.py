"""`hms-svc bench`: measures an installation on data of its own, and says what limits it."""
