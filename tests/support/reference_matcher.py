"""The matching semantics, written the slow and obvious way, to hold the fast path against.

Nothing here is shared with hicra_verl: characters are compared under the simple case folding of the `regex` package,
white space is Python's ``\\s``, word characters are its ``\\w``.
"""

from __future__ import annotations

import re
from functools import cache

import regex

QUOTES = str.maketrans("‘’‚‛“”„‟", "''''\"\"\"\"")


@cache
def folded(char: str) -> str:
    """One character for all characters that are equal to ``char`` when case is ignored."""
    char = char.translate(QUOTES)
    for candidate in (char.lower(), char.casefold()):
        for again in (candidate.lower(), candidate.casefold()):
            if len(again) == 1 and regex.fullmatch(regex.escape(again), char, regex.IGNORECASE | regex.VERSION0):
                char = again
    return char


def units_of(text: str) -> list[tuple[str, int, int]]:
    """(character, begin, end): one unit per character, or per run of white space."""
    return [
        (" " if match.group().isspace() else folded(match.group()), match.start(), match.end())
        for match in re.finditer(r"\s+|[\s\S]", text)
    ]


def reference(
    tokens: list[bytes | None], mask: list[bool], grams: list[str]
) -> tuple[list[bool], list[tuple[int, int, int]]]:
    """Planning token or not, per token; and the counted matches as (gram, first token, end token)."""
    planning = [False] * len(tokens)
    counted: list[tuple[int, int, int]] = []
    wanted = ["".join(char for char, _, _ in units_of(gram)) for gram in grams]
    begin = 0
    while begin < len(tokens):
        if tokens[begin] is None or not mask[begin]:
            begin += 1
            continue
        end = begin
        while end < len(tokens) and tokens[end] is not None and mask[end]:
            end += 1
        _match_segment(tokens[begin:end], begin, wanted, planning, counted)
        begin = end
    return planning, counted


def _match_segment(
    tokens: list[bytes], offset: int, grams: list[str], planning: list[bool], counted: list[tuple[int, int, int]]
) -> None:
    owner = [offset + index for index, token in enumerate(tokens) for _ in token]
    characters = b"".join(tokens).decode("utf-8", errors="surrogateescape")
    widths = [1 if "\udc80" <= char <= "\udcff" else len(char.encode()) for char in characters]
    byte_at = [0]
    for width in widths:
        byte_at.append(byte_at[-1] + width)
    units = units_of(characters)
    text = "".join(char for char, _, _ in units)

    def is_word(position: int) -> bool:
        return 0 <= position < len(text) and re.fullmatch(r"\w", text[position]) is not None

    def holders(unit: int) -> list[int]:
        _, first_char, end_char = units[unit]
        return owner[byte_at[first_char] : byte_at[end_char]]

    starting_at: dict[int, list[tuple[int, int]]] = {}
    for index, gram in enumerate(grams):
        position = text.find(gram)
        while position >= 0:
            end = position + len(gram)
            left_ok = not (re.fullmatch(r"\w", gram[0]) and is_word(position - 1))
            right_ok = not (re.fullmatch(r"\w", gram[-1]) and is_word(end))
            if left_ok and right_ok:
                starting_at.setdefault(position, []).append((len(gram), index))
                for unit in range(position, end):
                    if text[unit] != " ":
                        for token in holders(unit):
                            planning[token] = True
            position = text.find(gram, position + 1)
    position = 0
    while position < len(text):
        if position in starting_at:
            length, index = max(starting_at[position])
            counted.append((index, holders(position)[0], holders(position + length - 1)[-1] + 1))
            position += length
        else:
            position += 1
