"""Broker backends: each is a broker, its inspection, its control and its bus over one engine."""
