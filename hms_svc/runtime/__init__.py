"""The worker: claims, runs, decides, settles, and keeps house."""
