"""The answers that operators and programs receive: one typed model for each.

HTTP answers and the output of commands with `--json` are encoded from these models. The OpenAPI document
is generated from them: the name of a component is that of its class without `Answer`, its description is the
docstring. Fields may be added, but are never removed.
"""
