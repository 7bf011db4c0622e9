"""The screens: each declares the data that it needs, and shows snapshots."""
