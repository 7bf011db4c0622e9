"""Configuration of the documentation site: `make docs` builds it with Sphinx."""

from __future__ import annotations

project = "hms-svc"
author = "hms-svc contributors"
copyright = author
extensions = ["myst_parser", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = project
nitpicky = True
myst_heading_anchors = 3
myst_links_external_new_tab = False
