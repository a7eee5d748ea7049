"""The rules: their examples, and files of rules that operators write."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from binderprogress.core.log.diagnosis import diagnose
from binderprogress.core.log.reasons import (
    REASONS,
    RULES,
    Example,
    Reason,
    Rule,
    failure,
    read_rules,
)
from binderprogress.errors import ConfigError

EXAMPLES = [
    pytest.param(rule, example, id=f"{rule.id} {number}")
    for rule in RULES.rules
    for number, example in enumerate(rule.examples, 1)
]


@pytest.mark.parametrize(("rule", "example"), EXAMPLES)
def test_a_rule_recognises_its_examples_and_no_other_rule_does(
    rule: Rule, example: Example
) -> None:
    diagnosis = diagnose(example.log.splitlines(), kind=example.kind)
    assert (diagnosis.rule, diagnosis.reason) == (rule.id, rule.reason)
    assert diagnosis.subject == example.subject
    assert diagnosis.line == example.line
    assert not example.file or diagnosis.file == example.file
    assert diagnosis.evidence


@pytest.mark.parametrize("rule", RULES.rules, ids=lambda rule: rule.id)
def test_every_rule_has_an_example(rule: Rule) -> None:
    assert rule.examples


def test_every_rule_has_a_name_of_its_own() -> None:
    names = [rule.id for rule in RULES.rules]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("reason", REASONS.values(), ids=REASONS)
def test_every_reason_has_sentences(reason: Reason) -> None:
    rules = [rule for rule in RULES.rules if rule.reason == reason.key]
    texts = [reason.sentence, reason.advice, reason.named]
    texts += [text for rule in rules for text in (rule.sentence, rule.advice)]
    for text in filter(None, texts):
        filled = re.sub(r"\{\w+\}", "THIS", text)
        assert re.fullmatch(r"\S.*[^.]\.", filled)
        assert not re.search(r"  | [,;:]| \.(?!\w)|[{}]", filled)
        # A text may begin with the name of a file or a program.
        assert filled[0].isupper() or filled.split()[0] in {"apt", "nixpkgs", "npm", "pip"}
    assert not reason.named or "{subject}" in reason.named


@pytest.mark.parametrize("key", REASONS)
def test_failure(key: str) -> None:
    error = failure(key)
    assert (str(error), error.reason) == (REASONS[key].sentence, key)
    assert "{" not in error.advice
    assert str(failure(key, "In other words.")) == "In other words."
    assert failure(key, "In other words.").advice == error.advice


def test_the_table_of_rules_in_the_documentation() -> None:
    rows = [
        f"| `{rule.id}` | `{rule.reason}` | {rule.fault or reason.fault} "
        f"| {'yes' if (reason.retry if rule.retry is None else rule.retry) else 'no'} "
        f"| {len(rule.examples)} |"
        for rule in RULES.rules
        for reason in [REASONS[rule.reason]]
    ]
    page = (Path(__file__).parents[3] / "docs" / "reasons.md").read_text()
    assert "\n".join(rows) in page
    examples = sum(len(rule.examples) for rule in RULES.rules)
    assert f"{len(RULES.rules)} rules are tried on {examples} examples" in page


# -- files of operators

OWN = """
[reasons.licence-server]
fault = "server"
retry = true
sentence = "The licence server does not answer."
named = "The licence server {subject} does not answer."
advice = "Try again. If this keeps happening, contact the help desk."

[[rules]]
id = "licence"
reason = "licence-server"
where = ["postbuild", "run"]
patterns = ['FLEXlm error: no connection to (?P<subject>\\S{1,100})']
"""


def test_an_operators_rules_come_first() -> None:
    own = read_rules(OWN, name="own.toml", known=REASONS)
    rules = RULES.extended(own)
    log = [
        "Running postBuild",
        "FLEXlm error: no connection to lic1",
        "postBuild exited with status 1.",
    ]
    diagnosis = diagnose(log, rules=rules)
    assert diagnosis.reason == "licence-server"
    assert diagnosis.message == "The licence server lic1 does not answer."
    assert (diagnosis.fault, diagnosis.retry) == ("server", True)
    assert diagnose(log).reason == "postbuild-failed"
    assert diagnose(["No space left on device"], rules=rules).reason == "disk-full"


def test_the_rules_of_the_package_are_checked_like_those_of_operators() -> None:
    text = files("binderprogress.core.log").joinpath("rules.toml").read_text(encoding="utf-8")
    assert read_rules(text, name="rules.toml") == RULES


def test_a_rule_may_name_one_of_our_reasons() -> None:
    text = "[[rules]]\nid = 'a'\nreason = 'disk-full'\npatterns = ['quota of the project']"
    rules = RULES.extended(read_rules(text, name="own.toml", known=REASONS))
    assert diagnose(["The quota of the project is used up"], rules=rules).reason == "disk-full"


RULE = "[[rules]]\nid = 'a'\nreason = 'disk-full'\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[rules", "own.toml is not a valid file of rules: "),
        ("reasons = 3", "`reasons` has to be a table"),
        ("rules = 3", "Expected `array`"),
        ("[[rule]]\nid = 'a'", "own.toml: 'rule' is unknown; use"),
        ("[[rules]]\nid = 'a'", "missing required field `reason`"),
        (RULE + "patterns = ['enough text']\ncolour = 'red'", "unknown field `colour`"),
        (RULE + "patterns = []", "own.toml, rule 'a': it needs at least one pattern."),
        (RULE + "patterns = ['enough (text']", "own.toml, rule 'a': missing )"),
        (RULE + "patterns = ['.*']", "own.toml, rule 'a': This pattern contains no literal of 5"),
        (RULE + "patterns = ['enough text']\nabove = '('", "own.toml, rule 'a': missing )"),
        (RULE + "patterns = ['enough text']\nwhere = ['kitchen']", "no kind of step 'kitchen'"),
        (
            "[[rules]]\nid = 'a'\nreason = 'nothing'\npatterns = ['enough text']",
            "own.toml, rule 'a': there is no reason 'nothing'.",
        ),
    ],
)
def test_a_file_that_is_not_valid(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        read_rules(text, name="own.toml", known=REASONS)
