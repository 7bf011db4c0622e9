"""Ask for confirmation before leaving a dialog with unsaved input."""

from __future__ import annotations

from hms_svc.tui.dialogs.dialog import Answer, Dialog
from hms_svc.tui.dialogs.plan import ConfirmDialog
from hms_svc.tui.text import cell, line


def leave(dialog: Dialog[Answer], *, what: str) -> None:
    """Dismiss a dialog once the user has confirmed that `what` (`the edit`) may be lost."""

    def answered(answer: str | None) -> None:
        if answer is not None:
            dialog.dismiss(None)

    warning = line(cell(f"  Leaving now would lose {what}."))
    question = ConfirmDialog(f"Lose {what}?", [warning], verb="discard it", takes_note=False)
    dialog.app.push_screen(question, answered)
