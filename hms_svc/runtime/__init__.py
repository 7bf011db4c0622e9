"""The worker: claims, runs, decides and settles jobs, and does maintenance."""
