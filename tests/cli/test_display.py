"""The display of a launch: colors, narrow terminals, ASCII, and how it ended."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import msgspec
import pytest
from rich.cells import cell_len
from rich.console import Console

from binderprogress.cli.display import PlainDisplay, TerminalDisplay, colored
from binderprogress.cli.terminal import prefers_ascii
from binderprogress.core.events import Earlier, Event
from binderprogress.core.phases import Phase

from ..support.terminal import in_terminal


def event(phase: Phase = Phase.BUILDING, message: str = "", **fields: object) -> Event:
    known = {"id": 1, "time": 0.0, "elapsed": 83.0, "progress": 40.0, **fields}
    return Event(phase=phase, message=message, **known)  # type: ignore[arg-type] # as given


RUNNING = event(
    message="a line of the log\n",
    step="Installing requirements.txt and a good deal of other things",
    eta=100.0,
    eta_low=61.0,
    eta_high=190.0,
)
STEP = {"step": "Step 8 of 52", "step_command": "pip install -r requirements.txt"}
FAILED = event(
    Phase.FAILED,
    "The requirement six==99.99 cannot be satisfied.\n",
    advice="Correct the name or the version in requirements.txt.",
    evidence=["ERROR: No matching distribution found for six==99.99", "0/3 nodes are available"],
    reason="unsatisfiable-requirement",
)
LOG = [
    event(message="Collecting six==99.99\n", **STEP),
    event(message="10 %\r", **STEP),
    event(message="\x1b[31mERROR: No matching distribution found for six==99.99\x1b[0m\n", **STEP),
    event(message="exit status 1\n", **STEP),
]
REMEDY = "git clone https://github.com/ada/penguins"


def printed(width: int, *events: Event, remedy: str = "", offer: str = "") -> str:
    """Return all that is written to a terminal."""
    out = io.TextIOWrapper(io.BytesIO(), "utf-8", newline="\n")
    console = Console(file=out, force_terminal=True, color_system=None, width=width)
    with TerminalDisplay(console, remedy=lambda _: remedy, offer=lambda _: offer) as display:
        for one in events:
            display.show(one)
    out.seek(0)
    return out.read()


def shown(width: int, *events: Event, remedy: str = "") -> list[str]:
    """Return the lines of a terminal after the events. No escape sequences come from elsewhere."""
    text = printed(width, *events, remedy=remedy)
    drawn = re.split(r"(?:\r\x1b\[2K|\x1b\[1A\x1b\[2K)+", text)[-1]
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", drawn).splitlines()


@pytest.mark.parametrize("width", [20, 40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    for events in ([RUNNING], [FAILED]):
        lines = shown(width, *events)
        assert lines
        assert max(map(cell_len, lines)) <= width


def test_narrow_terminals_have_room_for_step_and_time() -> None:
    bar, step, times = shown(40, RUNNING)[-3:]
    assert bar.startswith("Building ")
    assert step.startswith("Installing requirements.txt and a")
    assert times.rstrip().endswith("left")


def test_by_when_it_is_ready_at_the_latest_where_there_is_room_beside_the_step() -> None:
    left = {"eta": 300.0, "eta_low": 240.0, "eta_high": 400.0, "eta_latest": 900.0}
    building = event(step="Installing", **left, eta_late=950.0)
    [line] = [line for line in shown(80, building) if "left" in line]
    assert re.search(
        r"^Installing .* 4–7 min left · ready by \d\d:\d\d at the latest$", line.rstrip()
    )
    late = msgspec.structs.replace(building, eta_late=0.0)
    for width, said in ((60, building), (80, late)):
        assert not any("latest" in line for line in shown(width, said))


def test_a_failure_says_why_what_to_do_where_and_how_it_ended() -> None:
    said = [
        "The requirement six==99.99 cannot be satisfied.",
        "Correct the name or the version in requirements.txt.",
        "2  ERROR: No matching distribution found for six==99.99",
        "   0/3 nodes are available",
        "Building: Step 8 of 52 · pip install -r requirements.txt",
        f"Try: {REMEDY}",
        "The launch failed after 1 min 23 s.",
    ]
    lines = [line.rstrip() for line in shown(100, *LOG, FAILED, remedy=REMEDY)]
    assert lines[-len(said) :] == said
    # Nothing is said twice, and there is no bar of what has failed.
    assert not [line for line in lines if "%" in line or line.startswith("Failed")]
    out = io.StringIO()
    with PlainDisplay(out, remedy=lambda _: REMEDY) as display:
        for one in [*LOG, FAILED]:
            display.show(one)
    plain = [line.rstrip() for line in out.getvalue().splitlines()]
    assert plain[-len(said) :] == said
    assert len(set(plain)) == len(plain)
    assert "== Failed" not in out.getvalue()


def test_the_command_that_helps_is_in_one_line_of_a_narrow_terminal() -> None:
    lines = shown(20, *LOG, FAILED, remedy=REMEDY)
    assert f"Try: {REMEDY}" in lines
    assert max(cell_len(line) for line in lines if line != f"Try: {REMEDY}") <= 20


def test_a_cancelled_launch_says_so_once() -> None:
    cancelled = event(Phase.CANCELLED, "Cancelled.\n", reason="cancelled")
    assert shown(80, RUNNING, cancelled)[-1] == "The launch was cancelled after 1 min 23 s."
    assert "Cancelled." not in shown(80, RUNNING, cancelled)
    abandoned = event(
        Phase.CANCELLED, "Cancelled, because nobody was watching.\n", reason="abandoned"
    )
    assert "Cancelled, because nobody was watching." in shown(80, RUNNING, abandoned)


def test_nothing_is_left_of_what_precedes_the_first_event() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system=None, width=80)
    with TerminalDisplay(console) as display:
        display.say("Starting a server on this machine")
    assert "Starting a server on this machine …" in out.getvalue()
    assert out.getvalue().endswith("\x1b[1A\x1b[2K")


def test_colors_of_the_log() -> None:
    text = colored("\x1b[31mred\x1b[0m and \x1b[1mbold\x1b[0m\n")
    assert text.plain == "red and bold"
    styles = [str(span.style) for span in text.spans]
    assert styles == ["color(1)", "bold"]
    assert str(colored("plain\n").style) == "dim"


@pytest.mark.parametrize("codes", ["8", "5", "6", "31;8"])
def test_text_is_not_concealed(codes: str) -> None:
    """Attack: a build prints text that nobody sees."""
    text = colored(f"\x1b[{codes}mhidden\x1b[0m")
    assert text.plain == "hidden"
    for span in text.spans:
        assert not re.search("conceal|blink", str(span.style))


def test_no_color(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, color_system="standard", width=80)
    with TerminalDisplay(console) as display:
        display.show(event(message="\x1b[31mred\x1b[0m\n"))
    # Only bold, dim and their ends.
    assert set(re.findall(r"\x1b\[([0-9;]*)m", out.getvalue())) <= {"0", "1", "2"}


@pytest.mark.parametrize(
    ("variables", "is_ascii"),
    [
        ({}, False),
        ({"LC_ALL": "C"}, True),
        ({"LANG": "POSIX"}, True),
        ({"LANG": "C.UTF-8"}, False),
        ({"LC_ALL": "en_US.UTF-8", "LANG": "C"}, False),
        ({"LC_ALL": "", "LC_CTYPE": "C", "LANG": "en_US.UTF-8"}, True),
    ],
)
def test_a_locale_that_only_has_ascii(variables: dict[str, str], is_ascii: bool) -> None:
    assert prefers_ascii(variables) is is_ascii


ASCII = """\
import sys
from binderprogress.cli.terminal import print_ascii
print_ascii()
from binderprogress.cli.display import JsonDisplay, PlainDisplay, TerminalDisplay
from binderprogress.core.events import Earlier, Event
from binderprogress.core.phases import Phase
for display in (PlainDisplay(), JsonDisplay(), TerminalDisplay()):
    with display:
        display.say("Starting")
        display.show(Event(id=1, time=0.0, elapsed=1.0, progress=50.0, phase=Phase.BUILDING,
                           message="“é” … \U0001f600\\n", eta=9.0, eta_low=8.0, eta_high=10.0))
"""


def test_ascii_only() -> None:
    done = subprocess.run([sys.executable, "-c", ASCII], capture_output=True, check=True)
    text = (done.stdout + done.stderr).decode("ascii")
    assert '"?" ... ?' in text
    (line,) = (line for line in text.splitlines() if line.startswith("{"))
    assert json.loads(line)["message"] == "“é” … \U0001f600\n"


def test_a_command_is_starting(env: dict[str, str]) -> None:
    """Importing takes a second on a slow machine. Nothing of it remains."""
    code, written = in_terminal(["launch", "./nothing"], env)
    assert code == 2
    assert written.startswith("Starting ...\r\x1b[2K'./nothing' is not a folder")


def test_no_unicode(env: dict[str, str]) -> None:
    code, written = in_terminal(["prune", "--help", "--no-unicode"], {**env, "COLUMNS": "80"})
    assert code == 0
    assert '"12h" ...' in written
    assert written.isascii()


def test_an_earlier_version_is_offered_in_one_line() -> None:
    earlier = Earlier(spec="gh/ada/penguins/c0ffee", commit="c0ffee", date=0.0, date_of="commit")
    offered = event(message="It is built already.\n", earlier=earlier)
    line = f"Start the version of 24 November now: binderprogress launch {earlier.spec}"
    # The terminal wraps it, so that all of it can be copied.
    assert f"{line}\n" in printed(40, offered, offer=line)
    out = io.StringIO()
    with PlainDisplay(out, offer=lambda _: line) as display:
        display.show(offered)
    assert f"== {line}\n" in out.getvalue()
    assert "It is built already." not in out.getvalue()
    # Who only builds sees it as a line of the log.
    assert "It is built already." in printed(80, offered)
