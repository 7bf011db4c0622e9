"""A simulated city that keeps a console busy: true jobs through the true runtime, invented people."""
