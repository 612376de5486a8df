"""The text rules of matching, for one character at a time.

Grams and responses go through the same three rules, so that "Let’s  try" holds the gram "let's try":

1. case is ignored (Unicode simple case folding: one character to one character);
2. curly quotes and apostrophes equal straight ones;
3. any run of white space equals one space.

Everything else (compilation, the fast path, the reference in the tests) is built on these functions.
"""

from __future__ import annotations

from functools import cache

_STRAIGHT = {**dict.fromkeys("‘’‚‛", "'"), **dict.fromkeys("“”„‟", '"')}


@cache
def fold(char: str) -> str:
    """Return the character that stands for ``char`` in matching; always exactly one character.

    Simple case folding (statuses C and S of Unicode's CaseFolding.txt): where full folding would give several
    characters, the lower-case form is used if it is one character, else the character itself.
    """
    if char in _STRAIGHT:
        return _STRAIGHT[char]
    for folded in (char.casefold(), char.lower()):
        if len(folded) == 1:
            return folded
    return char


def is_word(char: str) -> bool:
    """A letter, a digit or an underscore in any script: what the regular expression ``\\w`` matches."""
    return char.isalnum() or char == "_"


class _Folding(dict[int, str]):
    """``str.translate``'s table, filled as characters turn up."""

    def __missing__(self, code: int) -> str:
        self[code] = fold(chr(code))
        return self[code]


_FOLDING = _Folding()


def normalise(text: str) -> str:
    """Apply the three rules to a whole string; leading and trailing white space becomes one space each."""
    words = text.translate(_FOLDING).split()
    if not words:
        return " " if text else ""
    return " " * text[0].isspace() + " ".join(words) + " " * text[-1].isspace()
