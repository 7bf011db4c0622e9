"""The console application: puts screens and commands together; it holds no data and awaits no operation."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, ClassVar, Final

from textual import events, on, work
from textual.binding import Binding, BindingType
from textual.driver import Driver
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from hms_svc.domain.errors import HmsError, Refused
from hms_svc.tui import list_commands
from hms_svc.tui.clipboard import copy_with_tmux, passed_through_tmux
from hms_svc.tui.command_keys import bound, remap, resolve
from hms_svc.tui.commands import BY_NAME, Command, Target, fits, unfit_reason
from hms_svc.tui.console_exit import ConsoleExit, wait_closed
from hms_svc.tui.delay import call_after
from hms_svc.tui.dialogs.dialog import Answer, Dialog
from hms_svc.tui.health_page import show_health
from hms_svc.tui.host import ConsoleHost
from hms_svc.tui.keyboard import Keyboard
from hms_svc.tui.launch import Launch
from hms_svc.tui.navigation import SCREENS, Navigation, load
from hms_svc.tui.notifications import Notifier
from hms_svc.tui.preferences import Preferences
from hms_svc.tui.prompts import Prompts
from hms_svc.tui.screens.base import ConsoleScreen, current_screen
from hms_svc.tui.screenshot import ScreenshotWriter
from hms_svc.tui.snapshot import Snapshot, is_paused, types_of
from hms_svc.tui.store import Store
from hms_svc.tui.text import Line, Role, cell
from hms_svc.tui.themes import DARK, THEMES, first_theme, theme_after
from hms_svc.tui.widgets.prompt import Mode, Prompt
from hms_svc.tui.zone import toggle_zone

if TYPE_CHECKING:
    from textual.command import Provider
    from textual.worker import Worker

    from hms_svc.tui.action_runner import ActionRunner
    from hms_svc.tui.drafts import Drafts

NOTICE_SECONDS: Final = 8.0
FIRST_QUERY_SECONDS: Final = 0.02
"""The delay of the first query, so that the first frame is drawn before the engines are loaded."""

_FUNCTIONS: Final = {**list_commands.COMMANDS, "zone": toggle_zone, "health": show_health}
"""Commands that are functions; the others are methods of the application, `_run_NAME`."""


def _palette() -> type[Provider]:
    from hms_svc.tui.palette import Palette

    return Palette


def _console_screen(where: str) -> ConsoleScreen:
    return load(where)()


class Console(ConsoleHost):
    """The Textual application; its return value is the exit code."""

    TITLE = "hms-svc"
    CSS = "CommandPalette SearchIcon { display: none; }"
    SCREENS: ClassVar[dict[str, Callable[[], Screen[Any]]]] = {
        name: partial(_console_screen, where) for name, where in SCREENS.items()
    }
    COMMANDS = {_palette}  # noqa: RUF012 - Textual declares it
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+z", "run('suspend')", "Suspend", show=False, priority=True),
        Binding("ctrl+c", "run('quit')", "Leave", show=False, priority=True),
        Binding("ctrl+q", "run('quit')", "Leave", show=False, priority=True),
    ]

    def __init__(self, launch: Launch) -> None:
        super().__init__(driver_class=launch.driver)
        # Under NO_COLOR Textual would still draw in greys.
        self._filters = [
            NoColor() if isinstance(each, Monochrome) else each for each in self._filters
        ]
        self.launch = launch
        self.store = Store(launch, self._changed, self.give_up)
        self.failure: HmsError | None = None
        self.notice: Line = ()
        self.preferences = Preferences(launch.memory)
        self._notice_until = 0.0
        self.navigation = Navigation(self)
        self._prompts = Prompts(self)
        self._keyboard = Keyboard(self)
        self._console_exit = ConsoleExit(self)
        self._screenshot_writer = (
            ScreenshotWriter(self, launch.snapshot) if launch.snapshot is not None else None
        )
        self._has_begun = False
        self._store_worker: Worker[None] | None = None
        remap(launch.keys)
        for key, command in bound().items():
            if key not in {"ctrl+p", "ctrl+z"}:
                for each in Binding.make_bindings([Binding(key, f"run({command.name!r})")]):
                    self.bind(each.key, each.action, show=False)
        self._notifier = Notifier(self, launch.notify)
        for theme in THEMES.values():
            self.register_theme(theme)
        has_sixteen = launch.driver is not None and self.console.color_system == "standard"
        self.theme = first_theme(launch.theme, has_sixteen=has_sixteen)

    @cached_property
    def _actions(self) -> ActionRunner:
        """The runner of commands; not needed for the first paint."""
        from hms_svc.tui.action_runner import ActionRunner

        return ActionRunner(self)

    @cached_property
    def _drafts(self) -> Drafts:
        """The dialogs that make jobs; not needed for the first paint."""
        from hms_svc.tui.drafts import Drafts

        return Drafts(self)

    def on_mount(self) -> None:
        """Open the first screen."""
        self.navigation.begin(self.launch.screen, self.launch.where)
        self.set_interval(1.0, self._tick)
        if self.launch.on_signals is not None:
            self.launch.on_signals(self.leave)
        if message := self.launch.notice or self.preferences.trouble:
            self.show_notice(message, "warn")

    def painted(self) -> None:
        """Start queries and workers after the first paint: they load the engines."""
        if not self._has_begun:
            self._has_begun = True
            call_after(FIRST_QUERY_SECONDS, self, self._begin)

    def _begin(self) -> None:
        self._store_worker = self.run_worker(self.store.run(), name="console-store", group="store")
        if self.launch.workforce is not None:
            self.launch.workforce.start()

    async def on_unmount(self) -> None:
        """Let the store close its connections: the end of the event loop would interrupt that."""
        if self._store_worker is not None:
            await wait_closed(self._store_worker)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the console's own colours, for themes that do not define them."""
        return DARK.variables

    def _changed(self, snapshot: Snapshot) -> None:
        if not self.is_running:  # its widgets are being removed
            return
        if (screen := current_screen(self)) is not None:
            screen.draw(snapshot)
        self._notifier.take(snapshot)
        if self._screenshot_writer is not None:
            self._screenshot_writer.changed(snapshot)

    def give_up(self, error: HmsError) -> None:
        """Exit because of an error that waiting cannot repair; the caller of `run` reports it."""
        self.failure = error
        self.exit(1)

    async def on_event(self, event: events.Event) -> None:
        """Handle keys one after the other; leave other events to Textual."""
        if isinstance(event, events.InputEvent):
            self.launch.collection.note_input()
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._keyboard.press(event)
        else:
            await super().on_event(event)

    async def ask(self, dialog: Dialog[Answer]) -> Answer | None:
        """Show a dialog and return its answer. Call it from a Textual worker."""
        answer = self.push_screen(dialog, wait_for_dismiss=True)
        self._keyboard.shown(takes_keys=dialog.takes_typed_ahead)
        return await asyncio.shield(answer)

    @property
    def is_typing(self) -> bool:
        """Whether a prompt is open on the screen."""
        screen = self.screen
        return isinstance(screen, ConsoleScreen) and any(
            prompt.is_open for prompt in screen.query(Prompt)
        )

    def _tick(self) -> None:
        """Redraw ages, and clear an expired notice."""
        if not self.is_running:
            return
        self._notifier.tick()
        self.launch.collection.tick()
        if self.notice and time.monotonic() > self._notice_until:
            self.notice = ()
            if isinstance(self.screen, ConsoleScreen):
                self.screen.draw_hints()
        if (screen := current_screen(self)) is not None:
            screen.draw_top(self.store.snapshot)

    def show_notice(self, message: str, role: Role = "") -> None:
        """Show a notice in the hint line for some seconds."""
        self.notice = (cell(message, role),)
        self._notice_until = time.monotonic() + NOTICE_SECONDS
        console_screen = current_screen(self)
        if console_screen is not None:
            console_screen.draw_hints()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Show errors raised in the block as notices; then refresh the data."""
        try:
            yield
        except Refused as error:
            self.show_notice(f"refused: {error}", "bad")
        except HmsError as error:
            self.show_notice(str(error), "bad")
        self.store.refresh_now(force=True)

    def preparing(self) -> AbstractContextManager[None]:
        """Hold back keys that are pressed in the block, for the dialog that it opens."""
        return self._keyboard.preparing()

    def resume_keys(self) -> None:
        """Pass the held keys on to the screen: no dialog will open."""
        self._keyboard.resume()

    @property
    def current_filter(self) -> str:
        """The filter of the screen; empty if it has none."""
        return self.navigation.where

    def go(self, screen: str, where: str | None = None) -> None:
        """Open a screen by its name, with a filter."""
        self.navigation.go(screen, where)

    def back(self) -> None:
        """Go back to the previous screen."""
        self.navigation.back()

    def follow(self, link: str) -> None:
        """Open the target of a link."""
        self.navigation.follow(link)

    def open_prompt(self, mode: Mode, text: str) -> None:
        """Open the prompt with a text."""
        self._prompts.ask(mode, text)

    def take_prompt(self, mode: Mode, text: str) -> None:
        """Carry out what was typed."""
        self._prompts.take(mode, text)

    def close_prompt(self) -> None:
        """Hide the prompt."""
        self._prompts.close()

    def action_run(self, name: str) -> None:
        """Run the command of a key on the selection; while a prompt is open only those that leave."""
        if self.is_typing and name not in {"quit", "suspend"}:
            return
        console_screen = current_screen(self)
        target = console_screen.target() if console_screen is not None else None
        self.notice = ()
        command = resolve(BY_NAME[name], target, is_paused=self.is_paused(target))
        self.run_command(command.name, target)

    def run_command(self, name: str, target: Target | None, argument: str = "") -> None:
        """Run a command, or show why it cannot be run on the target."""
        command = BY_NAME[name]
        if not isinstance(self.screen, ConsoleScreen) and command.group != "console":
            self.show_notice("close the dialog first", "warn")
            return
        if not fits(command, target):
            self.show_notice(unfit_reason(command, target), "warn")
            return
        if command.group == "go":
            self.navigation.go(command.name.removeprefix("go-"), argument or None)
        elif command.name in {"enqueue", "edit"}:
            self._draft(command.name, target)
        elif command.changes:
            self._do(command, target, argument)
        elif command.name in _FUNCTIONS:
            _FUNCTIONS[command.name](self, target, argument)
        else:
            getattr(self, f"_run_{command.name.replace('-', '_')}")(target, argument)

    @work(name="console-act", group="acts")
    async def _do(self, command: Command, target: Target | None, argument: str) -> None:
        with self._keyboard.preparing():
            await self._actions.do(command, target, argument)

    @work(name="console-draft", group="acts")
    async def _draft(self, name: str, target: Target | None) -> None:
        with self._keyboard.preparing():
            if name == "enqueue":
                await self._drafts.enqueue()
            elif target is not None:
                await self._drafts.edit(target.ids[0])

    def is_paused(self, target: Target | None) -> bool:
        """Return whether the target is a paused queue or schedule, or a quiet worker."""
        return is_paused(self.store.snapshot, target)

    def types_of(self, target: Target | None) -> tuple[str, ...]:
        """Return the job types of the target, as far as the snapshot has them."""
        return types_of(self.store.snapshot, target)

    def forget_selection(self) -> None:
        """Clear the selection of the screen."""
        if (screen := current_screen(self)) is not None:
            screen.forget_selection()

    def _run_back(self, target: Target | None, argument: str) -> None:
        self.navigation.back()

    def _run_forward(self, target: Target | None, argument: str) -> None:
        self.navigation.forward()

    def _run_inspect(self, target: Target | None, argument: str) -> None:
        if target is not None:
            self.navigation.inspect(target)

    @work(name="console-why", group="acts")
    async def _run_why(self, target: Target | None, argument: str) -> None:
        if target is not None and target.ids:
            with self._keyboard.preparing():
                await self._drafts.show_why(target)

    def _run_command(self, target: Target | None, argument: str) -> None:
        self._prompts.ask("command", argument)

    def _run_still(self, target: Target | None, argument: str) -> None:
        self.store.set_frozen(frozen=not self.store.snapshot.is_frozen)

    def _run_save(self, target: Target | None, argument: str) -> None:
        with self.reporting():
            self._prompts.save(argument.strip())

    @work(name="console-filters", group="acts")
    async def _run_filters(self, target: Target | None, argument: str) -> None:
        with self.reporting(), self._keyboard.preparing():
            await self._drafts.show("Saved filters", self._prompts.saved.lines())

    def _run_context(self, target: Target | None, argument: str) -> None:
        with self.reporting():
            self._console_exit.switch(argument.strip())

    def _run_notify(self, target: Target | None, argument: str) -> None:
        with self.reporting():
            self._notifier.choose(argument)

    def _run_theme(self, target: Target | None, argument: str) -> None:
        self.theme = argument if argument in THEMES else theme_after(self.theme)
        self.show_notice(f"theme {self.theme}")

    @work(name="console-help", group="acts")
    async def _run_help(self, target: Target | None, argument: str) -> None:
        from hms_svc.tui.help import help_lines

        with self._keyboard.preparing():
            await self._drafts.show("Help", help_lines(target))

    def _run_palette(self, target: Target | None, argument: str) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Open the palette, unless a prompt has the keys."""
        if not self.is_typing:
            super().action_command_palette()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52 and show a notice; inside tmux also by its passthrough and its own buffer."""
        super().copy_to_clipboard(text)
        if self.launch.is_in_tmux and self._driver is not None:
            self._driver.write(passed_through_tmux(text))
            self.run_worker(copy_with_tmux(text), name="console-copy", group="copy")
        self.show_notice(f"copied {text.splitlines()[0][:60] if text else text}", "good")

    def _run_quit(self, target: Target | None, argument: str) -> None:
        self.leave()

    def leave(self) -> None:
        """Exit once the running jobs have finished; the second call exits at once."""
        self._console_exit.leave()

    def _run_suspend(self, target: Target | None, argument: str) -> None:
        self._console_exit.suspend()

    @on(Driver.SignalResume)
    def _resumed(self) -> None:
        self.refresh(layout=True)
        self.store.refresh_now(force=True)
