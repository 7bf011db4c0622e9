"""What all nine screens have in common: top line, body, prompt and the line of hints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen
from textual.widget import Widget

from tui import formatting as f
from tui.commands import Target
from tui.hints import PROMPT, States, hints, lines_of
from tui.picture import Look, Picture
from tui.text import Cell, Line, cell
from tui.topline import top_line
from tui.widgets.bar import Bar
from tui.widgets.grid import Grid
from tui.widgets.prompt import Prompt
from tui.widgets.typing import TextLine

if TYPE_CHECKING:
    from tui.app import Console


class Room(Screen[None]):
    """One of the nine screens. A room says what it wants looked at, and shows what was seen."""

    title_words: ClassVar[str] = ""
    first_hints: ClassVar[frozenset[str]] = frozenset()
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "escape", "Back", show=False),
        Binding("tab", "app.focus_next", "Next", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous", show=False),
    ]
    CSS_PATH = ["room.tcss"]  # noqa: RUF012 - Textual declares it

    def __init__(self) -> None:
        super().__init__()
        self._is_ready = False

    @property
    def console(self) -> Console:
        """The app, as what it is."""
        return cast("Console", self.app)

    def compose(self) -> ComposeResult:
        """Put the body between the lines that every room has."""
        yield Bar(id="top")
        yield from self.body()
        yield Prompt()
        yield Bar(id="hints")

    def body(self) -> Iterable[Widget]:
        """Give the widgets of the room."""
        raise NotImplementedError

    def look(self) -> Look | None:
        """Give what is to be looked at beside queues and workers."""
        return None

    def wants(self) -> dict[str, bool]:
        """Give which of the common parts are shown: `failures`, `results`."""
        return {}

    def show(self, picture: Picture) -> None:
        """Put what was seen into the widgets."""
        raise NotImplementedError

    def target(self) -> Target | None:
        """Give what the cursor is on, or what is marked."""
        return None

    def states(self) -> States:
        """Give the states of what is chosen, None where they are not known."""
        return None

    def on_mount(self) -> None:
        """Frame the room in red where production is at stake."""
        self.set_class(self.console.launch.facts.production, "-production")
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Ask for the first time, now that all widgets are there."""
        self._is_ready = True
        self.ask()

    def on_screen_resume(self) -> None:
        """Ask for what this room shows; what has left its lists meanwhile is not shown any more."""
        if self._is_ready:
            for grid in self.query(Grid):
                grid.forget_gone()
            self.ask()

    def ask(self) -> None:
        """Tell the store what is wanted now, and show what is known."""
        store = self.console.store
        store.want(self.look(), **self.wants())
        self.draw(store.picture)

    def draw(self, picture: Picture) -> None:
        """Show a picture, with the lines around it; under a dialog only the top line."""
        if not self._is_ready:
            return
        self.draw_top(picture)
        if self.is_current:
            self.show(picture)
            self.draw_hints()

    def draw_top(self, picture: Picture) -> None:
        """Show the top line; ages go on between two looks."""
        if not self._is_ready:
            return
        left, right = top_line(
            picture, self.console.launch, self.title_words, self.console.now_ms(), self.size.width,
            self.look(),
        )  # fmt: skip
        self.query_one("#top", Bar).show(left, right)

    def draw_hints(self) -> None:
        """Show what can be done to what the cursor is on; or the notice of the moment."""
        if not self._is_ready:
            return
        notice, trouble = self.console.notice, self.console.store.picture.trouble_of(self.look())
        bar = self.query_one("#hints", Bar)
        if notice:
            bar.show((Cell(" "), *notice))
        elif self.query_one(Prompt).is_open:
            bar.show((Cell(" "),), hints=lines_of(PROMPT))
        elif trouble:
            bar.show((cell(f" {trouble}", "bad"),))
        else:
            target = self.target()
            told = hints(
                target,
                self.states(),
                is_paused=self.console.is_paused(target),
                first=self.first_hints,
                panels=sum(grid.can_focus for grid in self.query(Grid)),
            )
            zone = f.zone_name(self.console.now_ms())
            right = cell(f" {zone}  1-9 screens  ? help  q leave ", "dim")
            bar.show((Cell(" "),), (right,), hints=told)

    def on_grid_moved(self, message: Grid.Moved) -> None:
        """Show the hints of what the cursor is on now."""
        message.stop()
        self.draw_hints()

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """Open what was chosen."""
        message.stop()
        self.console.run_command("inspect", self.target())

    def on_descendant_focus(self) -> None:
        """Show the hints of the panel that has the keys."""
        self.draw_hints()

    def action_escape(self) -> None:
        """Take back the last step: marks, then the filter, then the screen."""
        self.console.navigation.back()

    def on_prompt_given(self, message: Prompt.Given) -> None:
        """Hand what was typed to the console."""
        message.stop()
        self.console.prompting.take(message.mode, message.text)

    def on_prompt_left(self, message: Prompt.Left) -> None:
        """Give the keys back to the body."""
        message.stop()
        self.console.prompting.close()

    def on_text_line_refused(self, message: TextLine.Refused) -> None:
        """Say why what was pasted was not taken."""
        message.stop()
        self.console.say(message.words, "bad")

    def on_paste(self, event: events.Paste) -> None:
        """Say of what was pasted where nothing is typed that it was not taken."""
        if not self.console.is_typing:
            self.console.say("what was pasted was not taken: / or : opens a prompt", "warn")

    def focus_body(self) -> None:
        """Give the keys to the first thing that takes them."""
        for widget in self.query("Grid, Page"):
            if widget.focusable:
                self.set_focus(widget)
                return


def one_line(text: str, role: str = "") -> Line:
    """Make a line of one piece."""
    return (cell(text, role),)  # type: ignore[arg-type]
