"""The styles of text roles, computed once for a screen instead of once for each of its widgets."""

from __future__ import annotations

from typing import ClassVar, Generic, TypeVar

from textual.screen import Screen

from hms_svc.tui.text import ROLES

Answer = TypeVar("Answer")


def role_class(role: str) -> str:
    """Return the component class of a role."""
    return f"role--{role or 'plain'}"


class RoleScreen(Screen[Answer], Generic[Answer]):
    """A screen whose widgets draw text in roles."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {role_class(role) for role in ROLES}
    DEFAULT_CSS = """
    RoleScreen {
        & > .role--plain { color: $foreground; }
        & > .role--dim { color: $faint; }
        & > .role--strong { color: $foreground; text-style: bold; }
        & > .role--accent { color: $primary; }
        & > .role--good { color: $success; }
        & > .role--warn { color: $warning; }
        & > .role--bad { color: $error; text-style: bold; }
        & > .role--head { color: $primary; text-style: bold; }
        & > .role--key { color: $primary; text-style: bold; }
    }
    """
