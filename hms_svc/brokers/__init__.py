"""Broker backends: each has a broker, its inspection, control and bus over one engine."""
