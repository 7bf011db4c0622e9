"""The console: screens and commands put together. It holds no data and awaits no operation."""

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
from hms_svc.tui.clipboard import give_to_tmux, passed_through_tmux
from hms_svc.tui.commands import BY_NAME, Command, Target, bound, fits, meant, remap, unfit_words
from hms_svc.tui.console_exit import ConsoleExit
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
from hms_svc.tui.themes import DARK, SIXTEEN, THEMES, theme_after
from hms_svc.tui.widgets.prompt import Mode, Prompt
from hms_svc.tui.zone import toggle_zone

if TYPE_CHECKING:
    from textual.command import Provider

    from hms_svc.tui.action_runner import ActionRunner
    from hms_svc.tui.drafts import Drafts

NOTICE_SECONDS: Final = 8.0
FIRST_QUERY_SECONDS: Final = 0.02
"""The first frame goes out before the engines are loaded."""


_FUNCTIONS: Final = {**list_commands.COMMANDS, "zone": toggle_zone, "health": show_health}
"""Commands that are functions of the console; those of the application itself are its methods `_run_NAME`."""


def _palette() -> type[Provider]:
    from hms_svc.tui.palette import Palette

    return Palette


def _console_screen(where: str) -> ConsoleScreen:
    return load(where)()


class Console(ConsoleHost):
    """The application. Its answer is the exit code."""

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
        # Under NO_COLOR Textual would still send greys.
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
        remap(launch.keys)
        for key, command in bound().items():
            if key not in {"ctrl+p", "ctrl+z"}:
                for each in Binding.make_bindings([Binding(key, f"run({command.name!r})")]):
                    self.bind(each.key, each.action, show=False)
        self._notifier = Notifier(self, launch.notify)
        for theme in THEMES.values():
            self.register_theme(theme)
        self.theme = self._first_theme()

    @cached_property
    def _actions(self) -> ActionRunner:
        """Who acts; not needed for the first paint."""
        from hms_svc.tui.action_runner import ActionRunner

        return ActionRunner(self)

    @cached_property
    def _drafts(self) -> Drafts:
        """Who makes jobs; not needed for the first paint."""
        from hms_svc.tui.drafts import Drafts

        return Drafts(self)

    def on_mount(self) -> None:
        """Open the first screen."""
        self.navigation.begin(self.launch.screen, self.launch.where)
        self.set_interval(1.0, self._tick)
        if self.launch.on_signals is not None:
            self.launch.on_signals(self.leave)
        if words := self.launch.notice or self.preferences.trouble:
            self.say(words, "warn")

    def painted(self) -> None:
        """Begin to look, and to work, once the first screen has been painted: that loads the engines."""
        if not self._has_begun:
            self._has_begun = True
            self.set_timer(FIRST_QUERY_SECONDS, self._begin)

    def _begin(self) -> None:
        self._look()
        if self.launch.workforce is not None:
            self.launch.workforce.start()

    @work(name="console-store", group="store")
    async def _look(self) -> None:
        await self.store.run()

    def _first_theme(self) -> str:
        has_sixteen = self.launch.driver is not None and self.console.color_system == "standard"
        if has_sixteen and self.launch.theme == DARK.name:
            return SIXTEEN.name
        return self.launch.theme if self.launch.theme in THEMES else DARK.name

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Return the colours of ours, for themes that do not name them."""
        return DARK.variables

    def _changed(self, snapshot: Snapshot) -> None:
        if not self.is_running:  # its widgets are being taken down
            return
        if (screen := current_screen(self)) is not None:
            screen.draw(snapshot)
        self._notifier.take(snapshot)
        if self._screenshot_writer is not None:
            self._screenshot_writer.changed(snapshot)

    def give_up(self, error: HmsError) -> None:
        """Leave over what waiting does not mend; whoever runs the console says it."""
        self.failure = error
        self.exit(1)

    async def on_event(self, event: events.Event) -> None:
        """Deal with keys one after the other; all else is Textual's."""
        if isinstance(event, events.Key) and not event.is_forwarded:
            await self._keyboard.press(event)
        else:
            await super().on_event(event)

    async def ask(self, dialog: Dialog[Answer]) -> Answer | None:
        """Show a dialog, and return what it gives. To be called by a worker of the console."""
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
        """Let ages go on, and notices vanish."""
        if not self.is_running:
            return
        self._notifier.tick()
        if self.notice and time.monotonic() > self._notice_until:
            self.notice = ()
            if isinstance(self.screen, ConsoleScreen):
                self.screen.draw_hints()
        if (screen := current_screen(self)) is not None:
            screen.draw_top(self.store.snapshot)

    def say(self, words: str, role: Role = "") -> None:
        """Show a notice in the line of hints for some seconds."""
        self.notice = (cell(words, role),)
        self._notice_until = time.monotonic() + NOTICE_SECONDS
        console_screen = current_screen(self)
        if console_screen is not None:
            console_screen.draw_hints()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Return what was refused or went wrong meanwhile, instead of raising it; then look again."""
        try:
            yield
        except Refused as error:
            self.say(f"refused: {error}", "bad")
        except HmsError as error:
            self.say(str(error), "bad")
        self.store.stop_now(anew=True)

    def preparing(self) -> AbstractContextManager[None]:
        """Keep keys that are pressed in the block for the dialog that it opens."""
        return self._keyboard.preparing()

    def resume_keys(self) -> None:
        """Let keys go on to the screen: no dialog will open."""
        self._keyboard.resume()

    @property
    def current_filter(self) -> str:
        """The filter of the screen; empty if it has none."""
        return self.navigation.where

    def go(self, screen: str, where: str | None = None) -> None:
        """Open a screen by its name, with a filter."""
        self.navigation.go(screen, where)

    def back(self) -> None:
        """Go back to the screen before."""
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
        """Run a command on what is chosen; while a prompt is open no key is one, but to leave."""
        if self.is_typing and name not in {"quit", "suspend"}:
            return
        console_screen = current_screen(self)
        target = console_screen.target() if console_screen is not None else None
        self.notice = ()
        command = meant(BY_NAME[name], target, is_paused=self.is_paused(target))
        self.run_command(command.name, target)

    def run_command(self, name: str, target: Target | None, words: str = "") -> None:
        """Run a command; one that cannot be done to the choice says so."""
        command = BY_NAME[name]
        if not isinstance(self.screen, ConsoleScreen) and command.group != "console":
            self.say("close the dialog first", "warn")
            return
        if not fits(command, target):
            self.say(unfit_words(command, target), "warn")
            return
        if command.group == "go":
            self.navigation.go(command.name.removeprefix("go-"), words or None)
        elif command.name in {"enqueue", "edit"}:
            self._draft(command.name, target)
        elif command.changes:
            self._do(command, target, words)
        elif command.name in _FUNCTIONS:
            _FUNCTIONS[command.name](self, target, words)
        else:
            getattr(self, f"_run_{command.name.replace('-', '_')}")(target, words)

    @work(name="console-act", group="acts")
    async def _do(self, command: Command, target: Target | None, words: str) -> None:
        with self._keyboard.preparing():
            await self._actions.do(command, target, words)

    @work(name="console-draft", group="acts")
    async def _draft(self, name: str, target: Target | None) -> None:
        with self._keyboard.preparing():
            if name == "enqueue":
                await self._drafts.enqueue()
            elif target is not None:
                await self._drafts.edit(target.ids[0])

    def is_paused(self, target: Target | None) -> bool:
        """Return whether what is chosen is paused, or a quiet worker."""
        return is_paused(self.store.snapshot, target)

    def types_of(self, target: Target | None) -> tuple[str, ...]:
        """Return the types of what is chosen, as far as they are on the screen."""
        return types_of(self.store.snapshot, target)

    def acted(self) -> None:
        """Let the room forget what was chosen."""
        if (screen := current_screen(self)) is not None:
            screen.acted()

    def _run_back(self, target: Target | None, words: str) -> None:
        self.navigation.back()

    def _run_forward(self, target: Target | None, words: str) -> None:
        self.navigation.forward()

    def _run_inspect(self, target: Target | None, words: str) -> None:
        if target is not None:
            self.navigation.inspect(target)

    @work(name="console-why", group="acts")
    async def _run_why(self, target: Target | None, words: str) -> None:
        if target is not None and target.ids:
            with self._keyboard.preparing():
                await self._drafts.show_why(target)

    def _run_command(self, target: Target | None, words: str) -> None:
        self._prompts.ask("command", words)

    def _run_still(self, target: Target | None, words: str) -> None:
        self.store.stand_still(still=not self.store.snapshot.is_still)

    def _run_save(self, target: Target | None, words: str) -> None:
        with self.reporting():
            self._prompts.save(words.strip())

    @work(name="console-filters", group="acts")
    async def _run_filters(self, target: Target | None, words: str) -> None:
        with self.reporting(), self._keyboard.preparing():
            await self._drafts.show("Saved filters", self._prompts.saved.lines())

    def _run_context(self, target: Target | None, words: str) -> None:
        with self.reporting():
            self._console_exit.switch(words.strip())

    def _run_notify(self, target: Target | None, words: str) -> None:
        with self.reporting():
            self._notifier.choose(words)

    def _run_theme(self, target: Target | None, words: str) -> None:
        self.theme = words if words in THEMES else theme_after(self.theme)
        self.say(f"theme {self.theme}")

    @work(name="console-help", group="acts")
    async def _run_help(self, target: Target | None, words: str) -> None:
        from hms_svc.tui.help import help_lines

        with self._keyboard.preparing():
            await self._drafts.show("Help", help_lines(target))

    def _run_palette(self, target: Target | None, words: str) -> None:
        self.action_command_palette()

    def action_command_palette(self) -> None:
        """Open the palette, unless a prompt has the keys."""
        if not self.is_typing:
            super().action_command_palette()

    def copy_to_clipboard(self, text: str) -> None:
        """Copy by OSC 52, and say so; inside tmux also in the ways that it hands on by itself."""
        super().copy_to_clipboard(text)
        if self.launch.is_in_tmux and self._driver is not None:
            self._driver.write(passed_through_tmux(text))
            self.run_worker(give_to_tmux(text), name="console-copy", group="copy")
        self.say(f"copied {text.splitlines()[0][:60] if text else text}", "good")

    def _run_quit(self, target: Target | None, words: str) -> None:
        self.leave()

    def leave(self) -> None:
        """Leave once the running jobs have finished; the second time at once."""
        self._console_exit.leave()

    def _run_suspend(self, target: Target | None, words: str) -> None:
        self._console_exit.suspend()

    @on(Driver.SignalResume)
    def _brought_back(self) -> None:
        self.refresh(layout=True)
        self.store.stop_now(anew=True)
