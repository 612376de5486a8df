"""The terminal as commands print to it."""

from rich.console import Console


def plain_console(stderr: bool = False) -> Console:
    """A console that prints what it is given, word for word.

    Grams, file names, LaTeX and ``pip install "hicra-verl[mining]"`` hold square brackets and colons, which rich would
    otherwise take for styles and emoji, and leave out.
    """
    return Console(stderr=stderr, markup=False, emoji=False, highlight=False)
