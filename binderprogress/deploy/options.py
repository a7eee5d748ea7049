"""Reads the options of commands, and explains what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from traitlets import HasTraits, TraitError
from traitlets.config.loader import Config, KVArgParseConfigLoader

__all__ = ["Loader", "explain", "place_of", "suggestion", "unknown_setting"]


class Loader(KVArgParseConfigLoader):
    """Reports mistyped options and settings as errors.

    Parameters
    ----------
    fail : callable
        Exits with a message.
    """

    def __init__(self, *args: Any, fail: Callable[[str], None], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._fail = fail

    def _create_parser(self) -> None:
        super()._create_parser()
        # The class of the parser is chosen by traitlets.
        self.parser.error = self._explain  # type: ignore[method-assign]

    def _explain(self, message: str) -> NoReturn:
        match = re.match(r"argument (--?[\w.-]+): expected one argument", message)
        if match is not None:
            # traitlets takes an unknown option for one that needs a value. The message names known
            # options by their trait, which contains a dot.
            self._unknown(match[1])
            message = f"{_option(match[1][2:], self.aliases)} needs a value."
        elif (match := re.match(r"unrecognized arguments: (--?[^\s=]+)", message)) is not None:
            self._unknown(match[1])
        self._fail(message)
        raise SystemExit(message)  # not reached

    def _handle_unrecognized_alias(self, arg: str) -> None:
        self._unknown(f"--{arg.lstrip('-')}")

    def _unknown(self, option: str) -> None:
        """Fail if an option is neither an alias, a flag nor a setting."""
        name = option.lstrip("-")
        class_name, dot, trait = name.partition(".")
        if not dot:
            known = [f"--{key}" for key in (*self.aliases, *self.flags) if len(key) > 1]
            self._fail(f"Unknown option: {option}.{suggestion(option, known)}")
            return
        settings = {cls.__name__: cls.class_traits(config=True) for cls in self.classes}
        if class_name in settings:
            if trait not in settings[class_name]:
                near = suggestion(trait, settings[class_name], prefix=f"--{class_name}.")
                self._fail(f"Unknown setting: {option}.{near}")
        elif near := suggestion(class_name, settings, prefix="--", suffix=f".{trait}"):
            # Others may be of a class that the config file names.
            self._fail(f"Unknown setting: {option}.{near}")

    def _convert_to_config(self) -> None:
        super()._convert_to_config()
        for section, values in self.config.items():
            for trait in values if isinstance(values, Config) else ():
                self._unknown(f"--{section}.{trait}")


def unknown_setting(config: Config, classes: Iterable[type[HasTraits]]) -> tuple[str, str] | None:
    """Return the first setting of a config file that no class has, and a suggestion.

    All commands share one config file, so sections of other classes are passed over, unless they
    look like a mistyped class that has the setting.

    Parameters
    ----------
    config : Config
    classes : iterable of type
        The classes of the command, and their bases.
    """
    known = {cls.__name__: cls for cls in classes}
    for section, values in config.items():
        for trait in values if isinstance(values, Config) else ():
            if section in known:
                # What is said of a class also holds for those derived from it.
                heirs = [cls for cls in known.values() if issubclass(cls, known[section])]
                settings = {name for cls in heirs for name in cls.class_trait_names(config=True)}
                if trait not in settings:
                    near = suggestion(trait, sorted(settings), prefix=f"c.{section}.")
                    return f"{section}.{trait}", near
                continue
            having = [
                name for name, cls in known.items() if trait in cls.class_trait_names(config=True)
            ]
            # Operators may have classes of their own, such as a LocalBuilder with another name.
            near = suggestion(section, having, prefix="c.", suffix=f".{trait}", cutoff=0.9)
            if near:
                return f"{section}.{trait}", near
    return None


def place_of(setting: str, files: Iterable[str]) -> str:
    """Return the file and line that name a setting, or the files if it is not written out."""
    written = re.compile(rf"\b{re.escape(setting)}\b")
    for file in files:
        lines = Path(file).read_text(errors="replace").splitlines()
        for number, line in enumerate(lines, 1):
            if written.search(line):
                return f"{file}, line {number}"
    return ", ".join(files)


def suggestion(
    word: str, known: Iterable[str], *, prefix: str = "", suffix: str = "", cutoff: float = 0.7
) -> str:
    """Return `` Did you mean …?`` with the most similar known word, or an empty string."""
    matches = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return f" Did you mean {prefix}{matches[0]}{suffix}?" if matches else ""


def explain(error: TraitError, given: Config, aliases: Mapping[Any, Any]) -> str:
    """Return what is wrong with a setting, with its name as the user wrote it.

    Parameters
    ----------
    error : TraitError
    given : Config
        The settings of the command line. Others are from the config file.
    aliases : dict
        Short options and their settings, as in `Application.aliases`.
    """
    match = re.match(
        r"The (?:value of the )?'(\w+)' trait of an? (\w+) instance (.+)", str(error), re.DOTALL
    )
    if match is None:
        return f"Invalid setting: {error}"
    trait, class_name, sentence = match.groups()
    sentence = f"{sentence.rstrip('.')}."
    # traitlets may name a subclass of the one that the option is for.
    for alias, setting in aliases.items():
        section, _, name = str(setting).partition(".")
        if name == trait and trait in given.get(section, {}):
            return f"--{alias}: {sentence}"
    dashes = "--" if trait in given.get(class_name, {}) else "c."
    return f"{dashes}{class_name}.{trait}: {sentence}"


def _option(setting: str, aliases: Mapping[str, str]) -> str:
    names = [alias for alias, target in aliases.items() if target == setting]
    return f"--{max(names, key=len)}" if names else f"--{setting}"
