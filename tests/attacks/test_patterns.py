"""Attack: a repository prints a line that keeps the server's regular expressions busy.

Whoever owns a repository writes its log, and the server reads it in the loop that serves everybody.
A pattern that takes quadratic time reads 100 kB for minutes, and nobody is served meanwhile.
"""

from __future__ import annotations

import ast
import importlib
import re
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import binderprogress
from binderprogress.core.log.diagnosis import LONGEST_LINE, diagnose
from binderprogress.core.log.reader import LogReader
from binderprogress.core.log.reasons import RULES, Rule
from binderprogress.core.specs import from_address, parse
from binderprogress.errors import SpecError

from ..support.pumps import hostile_lines

LENGTH = 100_000
SHORTER = 16
"""How many times shorter the lines are that are tried first, and that long ones are compared with.

Linear time is 16 times as long for the whole line, and quadratic time 256 times.
"""
MOST_GROWTH = 64
"""How many times as long the whole line may take: between both, for a busy machine."""
MOST = 0.005
"""Seconds of CPU time for a line of 100 kB."""
SLOWNESS = 4
"""How many times as long a busy machine may take, for what grows with the length."""
MOST_FOR_LOGS = 0.05
"""The same for whole logs, of up to 16 MB. The diagnosis reads a part of them, in a thread."""
# What goes on after a match, as `sub` does, takes some time for each.
PER_MATCH = 0.5e-6
MOST_RUNS = 200
MOST_PAIRS = 20
"""How often a line and a shorter one are read before a pattern is said to be too slow."""
METHODS = {"search", "match", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
EXCLUDED = {
    # These read our own tables, and nothing else.
    "binderprogress.core.browser_tables",
    "binderprogress.core.log.matching",
    # A program with a dependency of its own, which has no patterns.
    "binderprogress.deploy.python_proxy",
}


def _modules() -> Iterator[str]:
    """Iterate over the names of all modules, without importing their packages."""
    root = Path(binderprogress.__path__[0])
    for path in sorted(root.rglob("*.py")):
        # Importing a "__main__" or a migration runs it.
        if path.stem != "__main__" and "migrations" not in path.parts:
            name = ".".join(path.relative_to(root.parent).with_suffix("").parts)
            yield name.removesuffix(".__init__")


# All other modules may read untrusted text.
MODULES = [name for name in _modules() if name not in EXCLUDED]


class Use(NamedTuple):
    """A pattern and how it is applied: a `search` begins anywhere, a `match` only at one place."""

    pattern: re.Pattern[Any]
    method: str

    def __str__(self) -> str:
        return f"{self.method} {self.pattern.pattern!r}"

    @property
    def goes_on(self) -> bool:
        """Whether it goes on after a match, as `sub` does."""
        return self.method not in {"search", "match", "fullmatch"}

    def apply(self, text: Any) -> None:
        """Look for the pattern in a text, as it is used."""
        if self.goes_on:
            deque(self.pattern.finditer(text), maxlen=0)
        else:
            getattr(self.pattern, self.method)(text)

    def text(self, line: str) -> Any:
        """Return a line as the pattern takes it."""
        is_bytes = isinstance(self.pattern.pattern, bytes)
        return line.encode("utf-8", "surrogatepass") if is_bytes else line

    def matches(self, text: Any) -> int:
        """Return the number of matches that it goes on after."""
        return sum(1 for _ in self.pattern.finditer(text)) if self.goes_on else 0


def used(name: str) -> Iterator[Use]:
    """Iterate over the patterns of a module: those that it keeps, and those it writes in calls."""
    module = importlib.import_module(name)
    source = Path(module.__file__ or "").read_text()
    if "re." not in source and not any(patterns_in(list(vars(module).values()))):
        return
    tree = ast.parse(source)
    methods: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        value = node.func.value
        if isinstance(value, ast.Subscript):
            # A table of patterns that are all used in one way.
            value = value.value
        if isinstance(value, ast.Name):
            methods.setdefault(value.id, set()).add(node.func.attr)
            arguments = [each.value for each in node.args[:1] if isinstance(each, ast.Constant)]
            if value.id == "re" and node.func.attr != "compile" and arguments:
                yield Use(re.compile(arguments[0]), node.func.attr)
    unknown = []
    for variable, value in vars(module).items():
        for pattern in patterns_in(value):
            # In one order: the processes that share the tests have to collect the same.
            known = sorted(methods.get(variable, set()) & METHODS)
            yield from (Use(pattern, method) for method in known)
            unknown += [] if known else [pattern]
    # Those that are kept in a table only, where nobody knows how they are used.
    direct = {id(value) for value in vars(module).values()}
    yield from (Use(pattern, "search") for pattern in unknown if id(pattern) not in direct)


def patterns_in(value: object) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, dict):
        yield from patterns_in(list(value.values()))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from patterns_in(each)


def seconds(
    work: Callable[[], object], *, enough: float = MOST, most_runs: int = MOST_RUNS
) -> float:
    """Return the CPU time of the fastest of many runs, or of the first that takes little enough.

    Where many share a processor, even CPU time is longer than it need be: what takes a little too
    long is tried more often.
    """
    best = float("inf")
    for run in range(1, most_runs + 1):
        began = time.thread_time()
        work()
        best = min(best, time.thread_time() - began)
        if best < enough or (run >= 5 and best > 10 * enough):
            break
    return best


# The patterns of a module are found in the test: to import all modules takes seconds, in each
# process that collects the tests.
@pytest.mark.parametrize("name", MODULES)
def test_attack_a_line_of_100_kb_keeps_a_pattern_busy(name: str) -> None:
    """Whoever writes the log repeats what a pattern begins with, or what it goes round in."""
    for use in used(name):
        stays_idle(use)


@pytest.mark.parametrize("rule", RULES.rules, ids=[rule.id for rule in RULES.rules])
def test_attack_a_line_of_100_kb_keeps_a_rule_busy(rule: Rule) -> None:
    """A log is searched for the patterns of all rules, and for their details once they matched."""
    alternatives = [alternative.pattern for alternative in rule.matcher.alternatives]
    for pattern in (*alternatives, *rule.detail.values()):
        stays_idle(Use(pattern, "search"))


def test_patterns_are_found_in_modules() -> None:
    assert {str(use) for use in used("binderprogress.backends.fetch.git")} >= {
        "fullmatch '[0-9a-f]{40}|[0-9a-f]{64}'"
    }


# Some modules import a pattern of another.
@cache
def stays_idle(use: Use) -> None:
    """Check that a pattern reads all hostile lines in linear time."""
    for hostile in hostile_lines(use.pattern):
        # Even if the time grew with the square of the length, the whole line would not take long.
        shorter = use.text(hostile.of(LENGTH // SHORTER))
        if once(use, shorter) < MOST / SHORTER**2:
            continue
        line = use.text(hostile.of(LENGTH))
        most = MOST + use.matches(line) * PER_MATCH
        taken = taken_shorter = float("inf")
        # Both in turns: what else the machine does makes both slow.
        for _ in range(MOST_PAIRS):
            taken = min(taken, once(use, line))
            taken_shorter = min(taken_shorter, once(use, shorter))
            growth = taken / taken_shorter
            limit = SLOWNESS * most if growth < MOST_GROWTH else most
            # No machine is so busy that measuring it once more would help.
            if taken < limit or taken > 100 * most:
                break
        assert taken < limit, (
            f"{use}: {taken * 1000:.1f} ms, {growth:.0f} times as long as for a line that is "
            f"{SHORTER} times shorter, for {line[:80]!r}… {line[-20:]!r}"
        )


def once(use: Use, text: Any) -> float:
    began = time.thread_time()
    use.apply(text)
    return time.thread_time() - began


# -- the whole way, as the server goes it


def alternatives() -> list[Any]:
    """List the alternatives of the rules' patterns; they are tried where they begin."""
    return [each for rule in RULES.rules for each in rule.matcher.alternatives]


@pytest.mark.long
def test_attack_a_crafted_log_of_long_lines_keeps_the_diagnosis_busy() -> None:
    """400 lines, made for one pattern: it took 2.7 s, in which nobody was served."""
    for alternative in alternatives():
        line = next(iter(hostile_lines(alternative.pattern))).of(4096)
        assert seconds(partial(diagnose, [line] * 400), enough=MOST_FOR_LOGS) < MOST_FOR_LOGS, (
            alternative.literal
        )


def test_attack_a_log_with_the_beginning_of_every_reason_keeps_the_diagnosis_busy() -> None:
    """What makes one pattern cheap to rule out is in the log, for all of them, in each line."""
    needles = [alternative.literal for alternative in alternatives()]
    line = "".join(needles)[:LONGEST_LINE]
    many = [f"{needle}{needle}!" for needle in needles] * 20
    for log in ([line] * 400, many, [" ".join(many)], ["\n".join(many)] * 50):
        assert seconds(partial(diagnose, log), enough=MOST_FOR_LOGS) < MOST_FOR_LOGS


@pytest.mark.parametrize(
    "piece", ["\x1b", "\x1b[", "\x1b]", "\x00a", "\x9b0;", "\r", "\n", "a\n", " \n"]
)
def test_attack_a_log_of_nothing_but_escapes_or_line_ends(piece: str) -> None:
    """Taking them out one by one, or looking at a million empty lines, takes long, too."""
    for log in ([piece * 4_000_000], [piece * 4000] * 400, [piece] * 1_000_000):
        assert seconds(partial(diagnose, log), enough=MOST_FOR_LOGS) < MOST_FOR_LOGS


@pytest.mark.parametrize(
    "begin", ["", "#1 [", "Step 1/", "STEP 1/1: ", "Copying blob ", "Using ", "{"]
)
def test_attack_a_line_of_100_kb_keeps_the_reader_of_steps_busy(begin: str) -> None:
    """Each line of a log is read for steps as it comes, in the loop."""
    for piece in ("a", " ", "0", "#1 [", "[", "sha256:", "\\", '{"', "/ "):
        line = begin + (piece * LENGTH)[:LENGTH]
        assert seconds(partial(LogReader().read, line)) < SLOWNESS * MOST


@pytest.mark.parametrize(
    "piece", [".git", "/", " ", "10.1", "10.", "a@", "[", "%2F", ".", "@{", "0", "?"]
)
@pytest.mark.parametrize(
    "begin",
    ["gh/", "gl/", "git/", "gist/a/", "zenodo/", "ckan/", "hydroshare/", "https://", "doi:", ""],
)
def test_attack_a_spec_of_100_kb_keeps_the_server_busy(begin: str, piece: str) -> None:
    """Anyone may name a repository; nobody has to be asked for that, and it is read in the loop."""
    for text in (
        begin + piece * (2000 // len(piece)) + "x",
        begin + piece * (LENGTH // len(piece)),
    ):
        for read in (parse, from_address):
            assert seconds(partial(refused, read, text)) < SLOWNESS * MOST


def refused(read: Callable[[str], object], text: str) -> None:
    with suppress(SpecError):
        read(text)
