"""The command's door: the one place where an error becomes a message and an exit code."""

from __future__ import annotations

import sys
from typing import Any

import typer
from rich.text import Text
from typer.core import TyperGroup

from hicra_verl.errors import HicraError
from hicra_verl.terminal import plain_console

USAGE_ERROR = 2
EXTRAS = {
    "PIL": "recipes",
    "ahocorasick_rs": "",
    "datasets": "recipes",
    "httpx": "recipes",
    "huggingface_hub": "recipes",
    "math_verify": "recipes",
    "matplotlib": "analysis",
    "pebble": "recipes",
    "plotly": "analysis",
    "pyarrow": "recipes",
    "sentence_transformers": "mining",
    "sklearn": "mining",
    "verl": "verl",
}
"""The extra that brings a package, where it is not the package itself that has to be installed."""

PANELS = {
    "Set-up": ("doctor",),
    "Data, training and evaluation": ("data", "recipes", "stages", "eval", "table"),
    "Grams": ("tag", "grams", "mine", "annotate", "review", "precision"),
    "After a run": ("dynamics", "report", "forks", "errors"),
}
"""The commands as a newcomer meets them."""


class Door(TyperGroup):
    """All commands. What a person can put right is printed as one message; anything else is a fault of ours."""

    def list_commands(self, ctx: Any) -> list[str]:
        """The names in the order of ``PANELS``; each command is told its panel."""
        for panel, names in PANELS.items():
            for name in names:
                self.commands[name].rich_help_panel = panel  # type: ignore[attr-defined]
        return [name for names in PANELS.values() for name in names]

    def invoke(self, ctx: Any) -> Any:
        code = USAGE_ERROR
        try:
            return super().invoke(ctx)
        except HicraError as error:
            message = str(error)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("hicra_verl"):
                raise
            message = missing(error.name or str(error))
        except BrokenPipeError:  # `hicra … | head` has seen enough
            sys.stderr.close()
            raise typer.Exit(1) from None
        except MemoryError as error:
            message, code = ": ".join(filter(None, ("the memory does not suffice", str(error)))), 1
        except OSError as error:
            if error.filename is None and error.strerror is None:
                raise
            message = ": ".join(str(part) for part in (error.filename, error.strerror) if part)
        print_error(message)
        raise typer.Exit(code)


def missing(module: str) -> str:
    """What to install so that a module can be imported."""
    top = module.partition(".")[0]
    extra = EXTRAS.get(top)
    package = top if extra is None else "hicra-verl" + (f"[{extra}]" if extra else "")
    return f'this needs the package {top}, which is not installed; pip install "{package}"'


def print_error(message: str) -> None:
    """Print a message as commands print their errors."""
    plain_console(stderr=True).print(Text.assemble(("error: ", "red"), message), soft_wrap=True)
