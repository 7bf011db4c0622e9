"""A simulated city that keeps a console busy: real jobs through the real runtime, invented people."""
