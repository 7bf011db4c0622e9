"""What can be asked for: a file for each noun. Nothing is decided here."""
