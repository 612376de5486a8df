"""The pages of docs/ that are made from the code; ``make docs`` writes them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from hicra_verl.extensions import SELECTORS, SHAPERS, Between, Registry, parameters_of

KINDS = {bool: "true or false", float: "number", int: "whole number", str: "text", list: "list", Mapping: "arguments"}


def settings_page() -> str:
    """Every setting under ``algorithm.hicra``, from ``HicraConfig``."""
    from hicra_verl.config import OLD_SPELLINGS, HicraConfig

    hints = typing.get_type_hints(HicraConfig, include_extras=True)
    meaning = described(inspect.getdoc(HicraConfig) or "", "Attributes")
    rows = [
        (f"`{name}`", values(name, hints[name]), shown(default), meaning[name])
        for name, default in dataclasses.asdict(HicraConfig()).items()
    ]
    old = ", ".join(f"`{before}` (now `{after}`)" for before, after in OLD_SPELLINGS.items())
    return (
        "# Settings\n\nThey stand under `algorithm.hicra` in verl's configuration.\n\n"
        + table(("setting", "values", "default", "meaning"), rows)
        + f"\nOld spellings still work, with a warning: {old}.\n"
    )


def extensions_page(registry: Registry, title: str, about: str) -> str:
    """What ships for one extension point, from its registry; other packages' selectors and shapers are left out."""
    registry.names()
    parts = [f"# {title}\n\n{about}\n"]
    for name, target in sorted(registry.shipped.items()):
        if not target.__module__.startswith("hicra_verl."):
            continue
        parts.append(f"## {name}\n\n{(inspect.getdoc(target) or '').replace('``', '`')}\n")
        rows = [
            (f"`{key}`", values(key, parameter.annotation), shown(parameter.default))
            for key, parameter in parameters_of(target).items()
            if key not in registry.given
        ]
        if rows:
            parts.append(table(("argument", "values", "default"), rows))
        needs = [f"`{field}`" for field in getattr(target, "needs", ())]
        if needs:
            parts.append(f"Needs {', '.join(needs)}.\n")
        given = [f"`{registry.given[key]}`" for key in parameters_of(target) if key in registry.given]
        if given:
            parts.append(f"Uses {', '.join(given)}.\n")
    return "\n".join(parts)


def commands_page() -> str:
    """Every command with its arguments and options, from the command line itself."""
    from typer.main import get_command

    from hicra_verl.cli import app

    parts = ["# Commands\n\nWhat `hicra COMMAND --help` prints.\n"]
    for name, command in commands_below("hicra", get_command(app)):
        usage, rows = [name], []
        for each in sorted(command.params, key=lambda one: one.param_type_name):  # arguments before options
            word = ", ".join(each.opts)
            if each.param_type_name == "argument":
                word = each.metavar or each.name.upper()
                usage.append(word if each.required or word.startswith("[") else f"[{word}]")
            rows.append((f"`{word}`", "required" if each.required else shown(each.default), unmarked(each.help)))
        parts.append(f"## {name}\n\n{unmarked(command.help)}\n\n    {' '.join([*usage, '[OPTIONS]'])}\n")
        if rows:
            parts.append(table(("", "default", "meaning"), rows))
    return "\n".join(parts)


def commands_below(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """Each command below one, by its whole name; of a group only what does something by itself."""
    for word, child in sorted(getattr(command, "commands", {}).items()):
        if not getattr(child, "commands", {}) or child.invoke_without_command:
            yield f"{name} {word}", child
        yield from commands_below(f"{name} {word}", child)


def unmarked(text: str | None) -> str:
    """A help text without the markup of terminals."""
    from rich.text import Text

    return Text.from_markup(inspect.cleandoc(text or "").replace("\f", "")).plain


def described(doc: str, section: str) -> dict[str, str]:
    """The entries of a docstring's section, by name."""
    _, _, body = doc.partition(f"{section}:\n")
    entries = re.findall(r"^ {4}(\w+): (.*(?:\n {5,}.*)*)", body.split("\n\n")[0], re.MULTILINE)
    return {name: " ".join(text.split()).replace("``", "`") for name, text in entries}


def values(name: str, annotation: Any) -> str:
    """What an annotation admits: ``number, 0 <= alpha < 1``."""
    kind, *ranges = typing.get_args(annotation) if typing.get_origin(annotation) is Annotated else (annotation,)
    choices = typing.get_args(kind) if typing.get_origin(kind) in (typing.Union, types.UnionType) else (kind,)
    words = []
    for choice in choices:
        if typing.get_origin(choice) is Annotated:
            words.append(values(name, choice))
        elif choice is not type(None):
            plain = typing.get_origin(choice) or choice
            words.append(KINDS.get(plain, getattr(plain, "__name__", str(plain))))
    limits = [f"`{each.about(name)}`" for each in ranges if isinstance(each, Between)]
    return ", ".join([" or ".join(words), *limits])


def shown(value: Any) -> str:
    """A default as it is written on the command line; nothing where there is none."""
    if value is inspect.Parameter.empty:
        return "required"
    if value is None or value in ((), {}) or callable(value):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table(columns: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [columns, ("---",) * len(columns), *rows]
    return "".join(
        f"| {' | '.join(' '.join(cell.split()).replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines
    )


PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/selectors.md": lambda: extensions_page(
        SELECTORS, "Selectors", "Which tokens a run favours: `algorithm.hicra.selector`."
    ),
    "docs/shapers.md": lambda: extensions_page(
        SHAPERS, "Shapers", "What happens to their advantage: `algorithm.hicra.shaping`."
    ),
    "docs/commands.md": commands_page,
}


def pages() -> dict[str, str]:
    """The text of every page, by its path in the repository."""
    note = "<!-- Made from the code by `make docs`. -->\n\n"
    return {path: note + page().rstrip() + "\n" for path, page in PAGES.items()}


def main(root: Path) -> None:
    """Write every page below the root of the repository."""
    from hicra_verl.files import make_folder, write_text

    for path, text in pages().items():
        make_folder((root / path).parent)
        write_text(root / path, text)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
