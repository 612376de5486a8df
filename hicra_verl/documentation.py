"""The pages of docs/ that are made from the code; ``make docs`` writes them."""

from __future__ import annotations

import dataclasses
import inspect
import re
import sys
import types
import typing
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

from hicra_verl.arguments import IN_WORDS, Between
from hicra_verl.extensions import SELECTORS, SHAPERS, Registry
from hicra_verl.metrics.table import metrics_page


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
        taken = registry.parameters_of(target)
        rows = [
            (f"`{key}`", values(key, parameter.annotation), shown(parameter.default))
            for key, parameter in taken.items()
            if key not in registry.settings_of
        ]
        if rows:
            parts.append(table(("argument", "values", "default"), rows))
        given = [setting for key, setting in registry.settings_of.items() if key in taken]
        facts = {
            "Needs": [f for f in getattr(target, "needs", ()) if f != "planning_mask"],
            "Uses": given,
            "By default it selects": [target.selects] if hasattr(target, "selects") else [],
        }
        parts += [f"{verb} {', '.join(f'`{word}`' for word in words)}.\n" for verb, words in facts.items() if words]
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
            default = "required" if each.required else shown(each.default if each.show_default else None)
            rows.append((f"`{word}`", default, unmarked(each.help)))
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
    """What an annotation admits, null aside: ``a number, 0 <= alpha < 1``."""
    kind, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if kind is Annotated:
        limits = [f"`{each.in_words(name)}`" for each in inner[1:] if isinstance(each, Between)]
        return ", ".join([values(name, inner[0]), *limits])
    if kind in (typing.Union, types.UnionType):
        return " or ".join(values(name, each) for each in inner if each is not type(None))
    if kind is typing.Literal:
        return ", ".join(shown(each) for each in inner)
    return IN_WORDS.get(kind or annotation, "anything")


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


USE = "+algorithm.hicra."
NEEDS = " What one needs are fields of the batch; a trainer that lacks one refuses the run."
NOTE = "<!-- Made from the code by `make docs`. -->"
PAGES: dict[str, Callable[[], str]] = {
    "docs/settings.md": settings_page,
    "docs/selectors.md": lambda: extensions_page(
        SELECTORS,
        "Selectors",
        f"Which tokens a run favours: `{USE}selector=first_tokens {USE}selector_args.count=64`.{NEEDS}",
    ),
    "docs/shapers.md": lambda: extensions_page(
        SHAPERS, "Shapers", f"What happens to their advantage: `{USE}shaping=stare {USE}shaping_args.blame=0.9`.{NEEDS}"
    ),
    "docs/commands.md": commands_page,
    "hicra_verl/metrics/README.md": metrics_page,
}


def pages() -> dict[str, str]:
    """The text of every page, by its path in the repository."""
    return {path: page() if page is metrics_page else f"{NOTE}\n\n{page().rstrip()}\n" for path, page in PAGES.items()}


def main(root: Path) -> None:
    """Write every page below the root of the repository."""
    from hicra_verl.files import make_folder, write_text

    for path, text in pages().items():
        make_folder((root / path).parent)
        write_text(root / path, text)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
