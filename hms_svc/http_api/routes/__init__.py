"""The routes: a file for each noun. They make no decisions."""
