"""What all nine screens have in common: top line, body, prompt and the line of hints."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen
from textual.widget import Widget

from hms_svc.tui import formatting as f
from hms_svc.tui.commands import Target, sign_of
from hms_svc.tui.hints import PROMPT, PROMPTS, States, hints, lines_of
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, Line, cell
from hms_svc.tui.topline import top_line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.prompt import Mode, Prompt
from hms_svc.tui.widgets.text_input import TextLine

if TYPE_CHECKING:
    from hms_svc.domain.event import Event
    from hms_svc.tui.host import ConsoleHost


class ConsoleScreen(Screen[None]):
    """One of the nine screens. A room says what it wants looked at, and shows what was seen."""

    where: str = ""
    """The filter; empty where there is none, or the room takes none."""
    heading: ClassVar[str] = ""
    first_hints: ClassVar[frozenset[str]] = frozenset()
    without: ClassVar[frozenset[str]] = frozenset({"preview"})
    """Commands that can do nothing here."""
    own_keys: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys of this room alone, with what they do."""
    order: ClassVar[str] = "newest first"
    """How the server gives a list that is longer than its page."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "escape", "Back", show=False),
        Binding("tab", "app.focus_next", "Next", show=False),
        Binding("shift+tab", "app.focus_previous", "Previous", show=False),
    ]
    CSS_PATH = ["base.tcss"]  # noqa: RUF012 - Textual declares it

    def __init__(self) -> None:
        super().__init__()
        self._is_ready = self._is_covered = False

    @property
    def console(self) -> ConsoleHost:
        """The app, as what it is."""
        return cast("ConsoleHost", self.app)

    def compose(self) -> ComposeResult:
        """Put the body between the lines that every room has."""
        yield Bar(id="top")
        yield Bar(id="words")
        yield from self.body()
        yield Prompt()
        yield Bar(id="hints")

    def body(self) -> Iterable[Widget]:
        """Return the widgets of the room."""
        raise NotImplementedError

    def data_query(self) -> ScreenQuery | None:
        """Return what is to be looked at beside queues and workers."""
        return None

    def wants(self) -> dict[str, bool]:
        """Return which of the common parts are shown: `failures`, `results`."""
        return {}

    def show(self, snapshot: Snapshot) -> None:
        """Put what was seen into the widgets."""
        raise NotImplementedError

    def target(self) -> Target | None:
        """Return what the cursor is on, or what is marked."""
        return None

    def start_with(self, where: str) -> None:
        """Show what matches a filter, in a room that takes one."""

    def toggle_mark(self) -> None:
        """Mark what the cursor is on, or take its mark away, in a room that has marks."""

    def choose_all(self) -> None:
        """Choose all that match, in a room that has marks."""

    def acted(self) -> None:
        """Forget what was chosen."""

    def event_of_no_job(self) -> Event | None:
        """Return the event at the cursor where it is about no job."""
        return None

    def states(self) -> States:
        """Return the states of what is chosen, None where they are not known."""
        return None

    @property
    def table(self) -> Grid | None:
        """The table that has the keys, or the first one; None where there is none."""
        if isinstance(self.focused, Grid):
            return self.focused
        return next(iter(self.query(Grid)), None)

    def name_of(self, grid: Grid) -> str:
        """Return what a table is remembered by."""
        return f"{type(self).__name__.lower()}.{grid.id}"

    @property
    def filter_mode(self) -> Mode:
        """What is typed after `/` here."""
        return "filter" if self.table is None else "words"

    @property
    def filter_text(self) -> str:
        """What was typed there, and is in force."""
        return self.table.words if self.table is not None else ""

    def complete_text(self, text: str) -> list[str]:
        """Return what the last word may grow into: the name of a column."""
        before, blank, word = text.rpartition(" ")
        names = [f"{name}:" for name in self.table.shown_names] if self.table is not None else []
        grown = [name for name in names if word and name.startswith(word) and name != word]
        return [f"{before}{blank}{name}" for name in grown]

    def take_text(self, text: str) -> None:
        """Show the rows of the table that have the words; raises BadInput where they make no sense."""
        if self.table is not None:
            self.table.rearrange(words=text)
            self.draw(self.console.store.snapshot)

    def place_preview(self) -> None:
        """Show the preview, or hide it, where the room has one."""

    def filter_texts(self) -> list[tuple[str, Grid]]:
        """Return the words that narrow tables."""
        return [(grid.words, grid) for grid in self.query(Grid) if grid.words]

    def clear_text(self) -> None:
        """Show all rows of the tables again."""
        for _, grid in self.filter_texts():
            grid.rearrange(words="")
        self.draw(self.console.store.snapshot)

    def draw_text(self) -> None:
        """Show which words narrow which table, and how many rows have them; nothing where none do."""
        described = self.filter_texts()
        parts: list[Cell] = []
        for words, grid in described:
            title = grid.columns[0].title.lower()
            found = sum(not row.is_gone for row in grid.rows)
            parts += [
                cell(f" {title}: ", "dim"), cell(words, "accent"),
                cell(f"  {f.number(found)} of {'' if grid.is_whole else 'the newest '}{f.number(len(grid.given))}", "dim"),
            ]  # fmt: skip
        bar = self.query_one("#words", Bar)
        bar.display = bool(described)
        bar.show(tuple(parts), (cell("esc clear ", "dim"),))

    def on_grid_head_clicked(self, message: Grid.HeadClicked) -> None:
        """Sort by the column whose head was clicked."""
        message.stop()
        self.set_focus(message.grid)
        self.console.run_command("sort", None, message.column)

    def on_mount(self) -> None:
        """Frame the room in red where production is at stake; show tables as they were wanted last."""
        for grid in self.query(Grid):
            grid.view = self.console.preferences.view_of(self.name_of(grid))
        self.set_class(self.console.launch.facts.production, "-production")
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Ask for the first time, now that all widgets are there."""
        self._is_ready = True
        self.ask()
        self.call_after_refresh(self.console.painted)

    def on_screen_suspend(self) -> None:
        """Remember whether a dialog covers this room, or another one is shown."""
        self._is_covered = isinstance(self.console.screen, ModalScreen)

    def on_screen_resume(self) -> None:
        """Ask for what this room shows; lists begin anew, but not where only a dialog was closed."""
        if self._is_ready:
            for grid in self.query(Grid) if not self._is_covered else ():
                grid.begin_anew()
            self.ask()
        self._is_covered = False

    def ask(self) -> None:
        """Return the store what is wanted now, and show what is known."""
        store = self.console.store
        store.want(self.data_query(), **self.wants())
        self.draw(store.snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        """Show a snapshot, with the lines around it; under a dialog only the top line."""
        if not self._is_ready:
            return
        self.draw_top(snapshot)
        if self.is_current:
            self.show(snapshot)
            self.draw_text()
            self.draw_hints()

    def draw_top(self, snapshot: Snapshot) -> None:
        """Show the top line; ages go on between two looks."""
        if not self._is_ready:
            return
        left, right = top_line(
            snapshot, self.console.launch, self.heading, self.console.now_ms(), self.size.width,
            self.data_query(),
        )  # fmt: skip
        self.query_one("#top", Bar).show(left, right)

    def draw_hints(self) -> None:
        """Show what can be done to what the cursor is on; or the notice of the moment."""
        if not self._is_ready:
            return
        notice, trouble = (
            self.console.notice,
            self.console.store.snapshot.trouble_of(self.data_query()),
        )
        bar = self.query_one("#hints", Bar)
        prompt = self.query_one(Prompt)
        if notice:
            bar.show_whole((Cell(" "), *notice))
        elif prompt.is_open:
            bar.show((Cell(f" {PROMPTS[prompt.mode]}  ", "head"),), hints=lines_of(PROMPT))
        elif trouble:
            bar.show((cell(f" {trouble}", "bad"),))
        else:
            target = self.target()
            described = hints(
                target,
                self.states(),
                is_paused=self.console.is_paused(target),
                first=self.first_hints,
                panels=sum(grid.can_focus for grid in self.query(Grid)),
                without=self.without,
                more=self.own_keys,
            )
            zone = f.zone_name(self.console.now_ms())
            keys = f"1-9 screens  {sign_of('help')} help  {sign_of('quit')} quit"
            right = cell(f" {zone}  {keys} ", "dim")
            bar.show((Cell(" "),), (right,), hints=described)

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
        if self.filter_texts():
            self.clear_text()
        else:
            self.console.back()

    def on_prompt_given(self, message: Prompt.Given) -> None:
        """Hand what was typed to the console."""
        message.stop()
        self.console.take_prompt(message.mode, message.text)

    def on_prompt_left(self, message: Prompt.Left) -> None:
        """Return the keys back to the body."""
        message.stop()
        self.console.close_prompt()

    def on_text_line_refused(self, message: TextLine.Refused) -> None:
        """Return why what was pasted was not taken."""
        message.stop()
        self.console.say(message.words, "bad")

    def on_paste(self, event: events.Paste) -> None:
        """Return, of what was pasted where nothing is typed that it was not taken."""
        if not self.console.is_typing:
            self.console.say("pasted text ignored: press / or : first", "warn")

    def focus_body(self) -> None:
        """Return the keys to the first thing that takes them."""
        for widget in self.query("Grid, Page"):
            if widget.focusable:
                self.set_focus(widget)
                return


def one_line(text: str, role: str = "") -> Line:
    """Make a line of one piece."""
    return (cell(text, role),)  # type: ignore[arg-type]


def current_screen(console: ConsoleHost) -> ConsoleScreen | None:
    """Return the screen that is shown, or lies below the dialogs that are."""
    stack = reversed(console.screen_stack)
    return next((screen for screen in stack if isinstance(screen, ConsoleScreen)), None)
