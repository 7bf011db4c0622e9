"""Three themes with one accent each: dark, light, and high contrast."""

from __future__ import annotations

from typing import Final

from textual.theme import Theme

DARK: Final = Theme(
    name="dark",
    primary="#5fafd7",
    secondary="#5f87af",
    accent="#5fafd7",
    foreground="#d7dade",
    background="#14171c",
    surface="#1a1e24",
    panel="#22272f",
    success="#87c38f",
    warning="#e5c07b",
    error="#e88388",
    dark=True,
    variables={"faint": "#868e99", "cursor-line": "#24445a", "rest-line": "#22272f"},
)
LIGHT: Final = Theme(
    name="light",
    primary="#005f87",
    secondary="#5f87af",
    accent="#005f87",
    foreground="#1f2328",
    background="#fbfbf9",
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
THEMES: Final = {theme.name: theme for theme in (DARK, LIGHT, CONTRAST)}
