"""Leaving a dialog in which something was typed: asked once more, so that nothing is lost by a key."""

from __future__ import annotations

from hms_svc.tui.dialogs.dialog import Answer, Dialog
from hms_svc.tui.dialogs.plan import ConfirmDialog
from hms_svc.tui.text import cell, line


def leave(dialog: Dialog[Answer], *, what: str) -> None:
    """Leave a dialog once it was said that `what` (`the edit`) may be lost."""

    def answered(answer: str | None) -> None:
        if answer is not None:
            dialog.dismiss(None)

    words = line(cell(f"  Leaving now would lose {what}."))
    question = ConfirmDialog(f"Lose {what}?", [words], verb="discard it", takes_note=False)
    dialog.app.push_screen(question, answered)
