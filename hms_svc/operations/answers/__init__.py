"""The answers that operators and programs read: one typed model each.

What HTTP answers and what a command prints with `--json` is one of these, encoded. The OpenAPI document
is generated from them: the name of a component is that of its class without `Answer`, its description the
docstring. Fields may be added, never taken away.
"""
