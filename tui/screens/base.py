"""The base of all screens: top line, body, prompt and hint line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.widget import Widget

from hms_svc.tui import formats as f
from hms_svc.tui.command_keys import sign_of
from hms_svc.tui.commands import Target
from hms_svc.tui.hints import PROMPT, PROMPTS, States, hints, lines_of
from hms_svc.tui.roles import RoleScreen
from hms_svc.tui.snapshot import ScreenQuery, Snapshot
from hms_svc.tui.text import Cell, cell
from hms_svc.tui.topline import top_line
from hms_svc.tui.widgets.bar import Bar
from hms_svc.tui.widgets.grid import Grid
from hms_svc.tui.widgets.prompt import Mode, Prompt
from hms_svc.tui.widgets.text_input import TextLine

if TYPE_CHECKING:
    from hms_svc.domain.event import Event
    from hms_svc.tui.host import ConsoleHost


class ConsoleScreen(RoleScreen[None]):
    """A screen of the console: declares the data that it needs, and shows snapshots."""

    where: str = ""
    """The filter; empty if there is none."""
    heading: ClassVar[str] = ""
    first_hints: ClassVar[frozenset[str]] = frozenset()
    without: ClassVar[frozenset[str]] = frozenset({"preview"})
    """Commands that are not available here."""
    own_keys: ClassVar[tuple[tuple[str, str], ...]] = ()
    """Keys of this screen only, with their labels."""
    order: ClassVar[str] = "newest first"
    """The order in which the server returns pages of the list."""
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
        """The application with its type."""
        return cast("ConsoleHost", self.app)

    def compose(self) -> ComposeResult:
        """Put the body between the lines that every screen has."""
        yield Bar(id="top")
        yield Bar(id="narrowing")
        yield from self.body()
        yield Prompt()
        yield Bar(id="hints")

    def body(self) -> Iterable[Widget]:
        """Return the widgets of the screen."""
        raise NotImplementedError

    def data_query(self) -> ScreenQuery | None:
        """Return the query for data beyond queues and workers; None if there is none."""
        return None

    def wants(self) -> dict[str, bool]:
        """Return which of the common parts are needed: `failures`, `results`."""
        return {}

    def show(self, snapshot: Snapshot) -> None:
        """Fill the widgets from a snapshot."""
        raise NotImplementedError

    def target(self) -> Target | None:
        """Return the marked items, or the one at the cursor."""
        return None

    def start_with(self, where: str) -> None:
        """Apply a filter, on screens that take one."""

    def toggle_mark(self) -> None:
        """Mark or unmark the item at the cursor, on screens with marks."""

    def select_all(self) -> None:
        """Select all items that match, on screens with marks."""

    def forget_selection(self) -> None:
        """Clear the selection after an action."""

    def event_of_no_job(self) -> Event | None:
        """Return the event at the cursor if it is not about a job."""
        return None

    def states(self) -> States:
        """Return the states of the target, None if they are not known."""
        return None

    @property
    def table(self) -> Grid | None:
        """The focused table, or the first one; None if there is none."""
        if isinstance(self.focused, Grid):
            return self.focused
        return next(iter(self.query(Grid)), None)

    def name_of(self, grid: Grid) -> str:
        """Return the name by which preferences store a table."""
        return f"{type(self).__name__.lower()}.{grid.id}"

    @property
    def filter_mode(self) -> Mode:
        """The mode of the prompt that `/` opens here."""
        return "filter" if self.table is None else "rows"

    @property
    def filter_text(self) -> str:
        """The text of the filter in force."""
        return self.table.row_filter if self.table is not None else ""

    def complete_text(self, text: str) -> list[str]:
        """Return completions of the last word: names of columns."""
        before, blank, word = text.rpartition(" ")
        names = [f"{name}:" for name in self.table.shown_names] if self.table is not None else []
        grown = [name for name in names if word and name.startswith(word) and name != word]
        return [f"{before}{blank}{name}" for name in grown]

    def take_text(self, text: str) -> None:
        """Apply a filter to the rows of the table; raise BadInput if it is invalid."""
        if self.table is not None:
            self.table.rearrange(row_filter=text)
            self.draw(self.console.store.snapshot)

    def place_preview(self) -> None:
        """Show or hide the preview, on screens that have one."""

    def filter_texts(self) -> list[tuple[str, Grid]]:
        """Return the row filters in force with their tables."""
        return [(grid.row_filter, grid) for grid in self.query(Grid) if grid.row_filter]

    def clear_text(self) -> None:
        """Clear the row filters."""
        for _, grid in self.filter_texts():
            grid.rearrange(row_filter="")
        self.draw(self.console.store.snapshot)

    def draw_text(self) -> None:
        """Show the row filters in force with their numbers of matches; hide the line if there are none."""
        described = self.filter_texts()
        parts: list[Cell] = []
        for row_filter, grid in described:
            title = grid.columns[0].title.lower()
            found = sum(not row.is_gone for row in grid.rows)
            parts += [
                cell(f" {title}: ", "dim"),
                cell(row_filter, "accent"),
                cell(
                    f"  {f.number(found)} of {'' if grid.is_whole else 'the newest '}{f.number(len(grid.given))}",
                    "dim",
                ),
            ]
        bar = self.query_one("#narrowing", Bar)
        bar.display = bool(described)
        bar.show(tuple(parts), (cell("esc clear ", "dim"),))

    def on_grid_head_clicked(self, message: Grid.HeadClicked) -> None:
        """Sort by the clicked column."""
        message.stop()
        self.set_focus(message.grid)
        self.console.run_command("sort", None, message.column)

    def on_mount(self) -> None:
        """Frame the screen in red in production, and restore the views of the tables."""
        for grid in self.query(Grid):
            grid.view = self.console.preferences.view_of(self.name_of(grid))
        self.set_class(self.console.launch.facts.production, "-production")
        self.call_after_refresh(self._begin)

    def _begin(self) -> None:
        """Query for the first time, now that all widgets exist."""
        self._is_ready = True
        self.ask()
        self.call_after_refresh(self.console.painted)

    def on_screen_suspend(self) -> None:
        """Remember whether only a dialog covers this screen."""
        self._is_covered = isinstance(self.console.screen, ModalScreen)

    def on_screen_resume(self) -> None:
        """Query again, and reset lists unless only a dialog was closed."""
        if self._is_ready:
            for grid in self.query(Grid) if not self._is_covered else ():
                grid.reset()
            self.ask()
        self._is_covered = False

    def ask(self) -> None:
        """Pass the query of the screen to the store, and draw the current snapshot."""
        store = self.console.store
        store.want(self.data_query(), **self.wants())
        self.draw(store.snapshot)

    def draw(self, snapshot: Snapshot) -> None:
        """Draw a snapshot with the lines around it; under a dialog only the top line."""
        if not self._is_ready:
            return
        self.draw_top(snapshot)
        if self.is_current:
            self.show(snapshot)
            self.draw_text()
            self.draw_hints()

    def draw_top(self, snapshot: Snapshot) -> None:
        """Draw the top line; ages also advance between two snapshots."""
        if not self._is_ready:
            return
        left, right = top_line(
            snapshot,
            self.console.launch,
            self.heading,
            self.console.now_ms(),
            self.size.width,
            self.data_query(),
        )
        self.query_one("#top", Bar).show(left, right)

    def draw_hints(self) -> None:
        """Draw the hint line: the current notice, the prompt, a problem, or the hints."""
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
        """Draw the hints for the new position of the cursor."""
        message.stop()
        self.draw_hints()

    def on_grid_chosen(self, message: Grid.Chosen) -> None:
        """Open the chosen item."""
        message.stop()
        self.console.run_command("inspect", self.target())

    def on_descendant_focus(self) -> None:
        """Draw the hints for the focused panel."""
        self.draw_hints()

    def action_escape(self) -> None:
        """Undo the last step: clear the row filter, else go back."""
        if self.filter_texts():
            self.clear_text()
        else:
            self.console.back()

    def on_prompt_given(self, message: Prompt.Given) -> None:
        """Pass what was typed to the console."""
        message.stop()
        self.console.take_prompt(message.mode, message.text)

    def on_prompt_left(self, message: Prompt.Left) -> None:
        """Close the prompt, which returns the focus to the body."""
        message.stop()
        self.console.close_prompt()

    def on_text_line_paste_refused(self, message: TextLine.PasteRefused) -> None:
        """Show why pasted text was refused."""
        message.stop()
        self.console.show_notice(message.reason, "bad")

    def on_paste(self, event: events.Paste) -> None:
        """Show that pasted text is ignored while no prompt is open."""
        if not self.console.is_typing:
            self.console.show_notice("pasted text ignored: press / or : first", "warn")

    def focus_body(self) -> None:
        """Focus the first table or page."""
        for widget in self.query("Grid, Page"):
            if widget.focusable:
                self.set_focus(widget)
                return


def current_screen(console: ConsoleHost) -> ConsoleScreen | None:
    """Return the screen that is shown, also if dialogs cover it."""
    stack = reversed(console.screen_stack)
    return next((screen for screen in stack if isinstance(screen, ConsoleScreen)), None)
