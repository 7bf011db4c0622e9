"""Themes with one accent each: dark, light, high contrast, and one that uses the terminal's 16 colours."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

# Background, surface and panel are greys that stay distinct in 256 colours: colours of low saturation
# map to the palette's 24 greys, all others to its coarse colour cube.
DARK: Final = Theme(
    name="dark",
    primary="#5fafd7",
    secondary="#5f87af",
    accent="#5fafd7",
    foreground="#d7dade",
    background="#15171a",
    surface="#1d1e21",
    panel="#24272b",
    success="#87c38f",
    warning="#e5c07b",
    error="#e88388",
    dark=True,
    variables={"faint": "#868e99", "cursor-line": "#24445a", "rest-line": "#24272b"},
)
LIGHT: Final = Theme(
    name="light",
    primary="#005f87",
    secondary="#5f87af",
    accent="#005f87",
    foreground="#1f2328",
    background="#fdfdfc",
    surface="#f3f3ef",
    panel="#e6e6e0",
    success="#1a6b34",
    warning="#8a5a00",
    error="#b3261e",
    dark=False,
    variables={"faint": "#62686f", "cursor-line": "#cfe3ee", "rest-line": "#e6e6e0"},
)
CONTRAST: Final = Theme(
    name="contrast",
    primary="#ffff00",
    secondary="#ffffff",
    accent="#ffff00",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#303030",
    success="#00ff5f",
    warning="#ffd700",
    error="#ff8787",
    dark=True,
    text_alpha=1.0,
    variables={"faint": "#d0d0d0", "cursor-line": "#0000d7", "rest-line": "#303030"},
)
SIXTEEN: Final = Theme(
    name="sixteen",
    ansi=True,
    primary="ansi_bright_cyan",
    secondary="ansi_cyan",
    accent="ansi_bright_cyan",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    success="ansi_green",
    warning="ansi_yellow",
    error="ansi_bright_red",
    dark=True,
    variables={
        "faint": "ansi_bright_black",
        "cursor-line": "ansi_blue",
        "rest-line": "ansi_default",
        "ansi-background": "ansi_black",
        "ansi-foreground": "ansi_white",
        "block-cursor-foreground": "ansi_black",
        "block-cursor-background": "ansi_white",
        "input-cursor-background": "ansi_white",
        "input-cursor-foreground": "ansi_black",
        "input-cursor-text-style": "none",
    },
)
"""The terminal's own sixteen colours."""
THEMES: Final = {theme.name: theme for theme in (DARK, LIGHT, CONTRAST, SIXTEEN)}


def theme_after(name: str) -> str:
    """Return the next theme after a named one; after the last, the first."""
    names = list(THEMES)
    return names[(names.index(name) + 1) % len(names)]


def first_theme(name: str, *, has_sixteen: bool) -> str:
    """Return the theme to begin with; `name` is the configured one, which may not exist."""
    if has_sixteen and name == DARK.name:
        return SIXTEEN.name
    return name if name in THEMES else DARK.name
