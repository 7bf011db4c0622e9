"""The table of commands: key, palette entry, help line and equivalent command line of each."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from typing import Final, Literal, TypeAlias, cast, get_args

import msgspec

from hms_svc.domain.lifecycle import State
from hms_svc.operations.action_table import ACTIONS, OperatorAction

TargetKind: TypeAlias = Literal[
    "job", "group", "queue", "case", "worker", "event", "audit", "schedule"
]
SHOWN_IDS: Final = 3


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The target of a command: ids of one kind, or all jobs that match a filter."""

    kind: TargetKind
    ids: tuple[str, ...] = ()
    where: str = ""

    def arguments(self, *, whole: bool) -> str:
        """Return the arguments that select the same on the command line; only the first ids unless `whole`."""
        if self.where:
            return f"--where {shlex.quote(self.where)}"
        most = len(self.ids) if whole else SHOWN_IDS
        shown = " ".join(shlex.quote(job_id) for job_id in self.ids[:most])
        return shown + (" …" if len(self.ids) > most else "")


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One command. `takes` are the kinds of target that it accepts, none if it needs no target.

    `cli` is the equivalent command line (`{}` stands for the target; `cli_of` has
    those that differ by kind), `audit` the action that it records in the audit log,
    empty if it changes nothing. Those that change something are made from the table of operator actions.
    """

    name: str
    keys: tuple[str, ...] = ()
    title: str
    help: str
    takes: tuple[TargetKind, ...] = ()
    cli: str = ""
    cli_of: Mapping[TargetKind, str] = {}
    audit: str = ""
    group: Literal["go", "view", "act", "console"] = "act"

    @property
    def changes(self) -> bool:
        """Whether it changes anything outside the console."""
        return bool(self.audit)

    def command_line(self, target: Target | None, *, whole: bool = False) -> str:
        """Return the equivalent shell command; empty if there is none.

        Of many ids it has the first only, unless `whole`.
        """
        if target is None or target.kind not in self.takes:
            return self.cli.replace("{}", "ID")
        cli = self.cli_of.get(target.kind, self.cli)
        return cli.replace("{}", target.arguments(whole=whole))


SCREENS: Final = (
    ("overview", "Overview", "queues, live results, failures at a glance", "hms-svc status"),
    ("jobs", "Jobs", "all jobs, filtered", "hms-svc jobs list"),
    (
        "failures",
        "Failures",
        "failing, dead and rejected jobs, grouped by cause",
        "hms-svc jobs groups",
    ),
    (
        "held",
        "Held",
        "jobs that wait for an approval",
        "hms-svc jobs list --where state:held",
    ),
    ("workers", "Workers", "workers, their slots and their jobs", "hms-svc workers list"),
    ("cases", "Cases", "the cases that jobs opened", "hms-svc cases list"),
    ("events", "Events", "the event stream", "hms-svc events --follow"),
    (
        "schedules",
        "Schedules",
        "scheduled job types, and when they run next",
        "hms-svc schedules list",
    ),
    ("audit", "Audit", "who did what, when and why", "hms-svc audit list"),
)
"""The nine screens in the order of their keys: name, title, help, command that shows the same."""

_GO: Final = tuple(
    Command(
        name=f"go-{name}", keys=(str(number),), title=title, help=help_text, cli=cli, group="go"
    )
    for number, (name, title, help_text, cli) in enumerate(SCREENS, 1)
)
_VIEW: Final = (
    Command(
        name="inspect",
        keys=("i",),
        title="Inspect",
        help="a job: payload, result, attempts, history, case, audit; a queue: the page of its type; a group: its jobs",
        takes=("job", "group", "queue", "case", "worker", "event", "audit", "schedule"),
        cli="hms-svc jobs show {}",
        cli_of={
            "group": "hms-svc jobs list {}",
            "queue": "hms-svc queues show {}",
            "case": "hms-svc cases show {}",
            "worker": "hms-svc jobs list --where worker:{}",
            "audit": "hms-svc audit list",
            "schedule": "hms-svc jobs list --where type:{}",
        },
        group="view",
    ),
    Command(
        name="why",
        keys=("w",),
        title="Why?",
        group="view",
        takes=("job", "queue", "group"),
        help="why the job waits or failed; why the queue does not move; what fails in the group",
        cli="hms-svc jobs why {}",
        cli_of={"queue": "hms-svc queues why {}", "group": "hms-svc jobs groups"},
    ),
    Command(
        name="filter",
        keys=("slash",),
        title="Filter",
        group="view",
        help="of jobs: state:dead type:pothole.* error~timeout age>1h -validator:duplicate (a OR b); "
        "of other lists: words, column:word, -word; on a page: search",
        cli="hms-svc jobs list --where 'EXPR'",
    ),
    Command(
        name="mark",
        keys=("space",),
        title="Mark",
        takes=("job",),
        group="view",
        help="mark or unmark the job",
    ),
    Command(
        name="mark-all",
        keys=("asterisk",),
        title="Select all that match",
        takes=("job",),
        help="select every job that the filter matches, not only this page",
        group="view",
    ),
    Command(
        name="sort",
        keys=("s",),
        title="Sort",
        group="view",
        help="sort by the next column, then in the default order; clicking a column title sorts too",
    ),
    Command(name="reverse", keys=("R",), title="Reverse", group="view", help="reverse the order"),
    Command(
        name="columns",
        keys=("C",),
        title="Columns",
        group="view",
        help="choose the columns, their widths and the order; remembered",
    ),
    Command(
        name="preview",
        keys=("v",),
        title="Preview",
        group="view",
        help="show or hide the preview of the row, where the list leaves room for it",
    ),
    Command(
        name="copy",
        keys=("y",),
        title="Copy",
        group="view",
        takes=("job", "group", "queue", "case", "worker", "event", "audit", "schedule"),
        help="copy its id to the clipboard of your terminal (OSC 52, also inside tmux); "
        "on a page: payload, result, traceback, command line",
    ),
)
_ON_GROUPS: Final = frozenset({"retry", "cancel", "discard", "pause", "resume"})
"""Actions that can also be run on a group of failures, and on its types."""

_CLI_OF: Final[Mapping[str, Mapping[TargetKind, str]]] = {
    "queue": {"group": "TYPE"},
    "batch": {"job": "BATCH"},
}
"""What the command lines of actions need for targets of another kind: an action on a batch is run on one of its jobs."""
_ARGUMENTS: Final[Mapping[str, str]] = {"enqueue": "FILE"}
"""What the command lines of actions without a target need."""


def _command_of(action: OperatorAction) -> Command:
    kind = "job" if action.on in {"jobs", "batch"} else action.on
    subject = (kind,) if kind in get_args(TargetKind) else ()
    return Command(
        name=action.name,
        keys=(action.key,) if action.key else (),
        title=action.title,
        help=action.clause,
        takes=cast(
            "tuple[TargetKind, ...]", (*subject, *(("group",) if action.name in _ON_GROUPS else ()))
        ),
        cli=action.command_line("{}" if subject else _ARGUMENTS.get(action.name, "")),
        cli_of={
            each: action.command_line(argument)
            for each, argument in _CLI_OF.get(action.on, {}).items()
        },
        audit=action.audit,
    )


_ACT: Final = tuple(_command_of(action) for action in ACTIONS if action.title)
_CONSOLE: Final = (
    Command(
        name="back",
        keys=("left_square_bracket",),
        title="Back",
        group="console",
        help="previous screen, with its filter",
    ),
    Command(
        name="forward",
        keys=("right_square_bracket",),
        title="Forward",
        group="console",
        help="next screen",
    ),
    Command(
        name="still",
        keys=("S",),
        title="Pause refreshing",
        group="console",
        help="stop or resume refreshing",
    ),
    Command(
        name="command",
        keys=("colon",),
        title="Command line",
        group="console",
        help="type a command; tab completes",
    ),
    Command(
        name="health",
        keys=("H",),
        title="Health",
        group="console",
        cli="hms-svc status",
        help="describe every problem and how long it has lasted, including those counted as +2 in the top line",
    ),
    Command(
        name="palette",
        keys=("ctrl+p",),
        title="Palette",
        group="console",
        help="find a command by any word",
    ),
    Command(
        name="help",
        keys=("question_mark",),
        title="Help",
        group="console",
        help="keys and commands of this screen",
    ),
    Command(
        name="save",
        title="Save filter",
        group="console",
        help=":save NAME keeps the filter of the screen; / and @NAME opens it again",
    ),
    Command(
        name="filters",
        title="Saved filters",
        group="console",
        help="the filters that were saved, by name",
    ),
    Command(
        name="context",
        title="Context",
        group="console",
        help=":ctx NAME shows another installation of the configuration, without workers; :ctx default the first",
    ),
    Command(
        name="theme",
        keys=("T",),
        title="Theme",
        group="console",
        help="dark, light, high contrast, 16 colours",
    ),
    Command(
        name="notify",
        title="Notifications",
        group="console",
        help="bell or desktop notification of a new cause, a silent worker, an unreachable engine: :notify bell, osc9, osc777, off",
    ),
    Command(
        name="suspend",
        keys=("ctrl+z",),
        title="Suspend",
        group="console",
        help="back to the shell; fg brings the console back (in an editor: undo)",
    ),
    Command(
        name="zone",
        keys=("U",),
        title="UTC",
        group="console",
        help="show times in UTC or in your time zone",
    ),
    Command(
        name="quit",
        keys=("q",),
        title="Quit",
        group="console",
        help="quit; running jobs may finish within the grace period; twice: at once",
    ),
)
TABLE: Final = (*_VIEW, *_ACT, *_GO, *_CONSOLE)
BY_NAME: Final = {command.name: command for command in TABLE}
ALIASES: Final[Mapping[str, tuple[str, str]]] = {
    **{state.value: ("go-jobs", f"state:{state.value}") for state in State},
    **{name: (f"go-{name}", "") for name, *_ in SCREENS},
    "dlq": ("go-failures", ""),
    "dead-letters": ("go-failures", ""),
    "groups": ("go-failures", ""),
    "queues": ("go-overview", ""),
    "home": ("go-overview", ""),
    "ctx": ("context", ""),
    "q": ("quit", ""),
    "q!": ("quit", ""),
    "wq": ("quit", ""),
    "exit": ("quit", ""),
    "h": ("help", ""),
    "?": ("help", ""),
    "status": ("health", ""),
    "doctor": ("health", ""),
    "i": ("inspect", ""),
    "open": ("inspect", ""),
    "delete": ("discard", ""),
    "kill": ("cancel", ""),
    "requeue": ("retry", ""),
}
"""Other names of commands: the command, and its argument."""


def fits(command: Command, target: Target | None) -> bool:
    """Return whether a command accepts a target."""
    return not command.takes or (target is not None and target.kind in command.takes)


def unfit_reason(command: Command, target: Target | None) -> str:
    """Return why a command does not accept a target."""
    name, takes = command.title.lower().removesuffix("?"), command.takes
    wanted = " or ".join(_KINDS[kind] for kind in takes) if len(takes) <= MOST_KINDS else "a row"
    if target is None:
        return f"{name} needs {wanted}; none is selected: ↓ goes to a row"
    return f"{name} needs {wanted}; {_KINDS[target.kind]} is selected"


MOST_KINDS: Final = 3
_KINDS: Final[Mapping[TargetKind, str]] = {
    "job": "a job",
    "group": "a group of failures",
    "queue": "a queue",
    "case": "a case",
    "worker": "a worker",
    "event": "an event",
    "audit": "an audit record",
    "schedule": "a schedule",
}


def possible(target: Target | None, *, group: str) -> Iterable[Command]:
    """Return the commands of a group that accept a target."""
    return (each for each in TABLE if each.group == group and fits(each, target))
