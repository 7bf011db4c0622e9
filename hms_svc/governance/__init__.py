"""Policies: which actions are allowed, held for a human, or denied."""
