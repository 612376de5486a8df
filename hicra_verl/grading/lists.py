r"""Answers of several parts: lists, sets, tuples and intervals, taken apart so that each part is compared by itself.

A bare list (``1, 2``; ``1 \text{ and } 2``; ``1 \pm \sqrt{2}``) and a set have no order; a tuple and an interval have
one. A list says how often a part occurs, a set does not. ``[1, 2)`` is not ``(1, 2)``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

_OPENING, _CLOSING = "([{", ")]}"
_AND = re.compile(
    r"\s*,?\s*\\(?:text|mathrm|mbox)\s*\{\s*(?:and|or)\s*\}\s*|\s*,?\s+(?:and|or)\s+|\\(?:lor|land|vee)(?![a-zA-Z])"
)
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")


@dataclass(frozen=True)
class Parts:
    """An answer of several parts.

    Attributes:
        brackets: what encloses the parts: ``()``, ``[)`` and so on; ``{}`` for a set; "" for a bare list.
        items: the parts, in order.
    """

    brackets: str
    items: tuple[str, ...]


def split(text: str, grouped: bool = True) -> Parts | None:
    """The parts of an answer, as ``answers.clean`` leaves it; None if it is a single one.

    Args:
        text: the answer.
        grouped: whether commas may group thousands, so that ``8,221`` is a number.
    """
    if r"\begin" in text:
        return None  # a matrix is for the algebra
    items = _at_commas(text, grouped)
    if items is None:
        return None
    if len(items) > 1:
        return Parts("", items)
    whole = _without_name(items[0])
    inner, brackets = _enclosed(whole)
    if inner is None:
        return Parts("", items) if items[0] != text.strip() else None
    inside = _at_commas(inner, grouped=False)
    if inside is None or (len(inside) < 2 and brackets != "{}"):
        return None
    return Parts(brackets, inside)


def same(given: str, expected: str, equal: Callable[[str, str], bool]) -> bool | None:
    """Whether two answers have the same parts; None if this takes algebra, or both are single.

    Args:
        given: the answer.
        expected: the expected one.
        equal: compares two parts.
    """
    wanted = split(expected)
    found = split(given, grouped=wanted is None)  # 8,221 is a list where one was expected
    if wanted is None and found is None:
        return None
    if wanted is None or found is None:
        one = wanted or found
        if one is None or one.brackets not in ("", "{}"):
            return None  # an interval may be written as an inequality, a point as a matrix: for the algebra
        if len(one.items) != 1:
            return False
        # A set of one is its element.
        return equal(given if found is None else found.items[0], expected if wanted is None else wanted.items[0])
    if wanted.brackets in ("", "{}"):
        return _unordered(wanted, found, equal)
    if found.brackets not in ("", wanted.brackets) or len(found.items) != len(wanted.items):
        return False
    return all(equal(one, other) for one, other in zip(found.items, wanted.items, strict=True))


def _unordered(wanted: Parts, found: Parts, equal: Callable[[str, str], bool]) -> bool:
    if found.brackets not in ("", "{}", "()"):
        return False
    counted = wanted.brackets == ""
    if counted and len(found.items) != len(wanted.items):
        return False
    left = list(wanted.items)
    matched: list[str] = []
    for item in found.items:
        match = next((other for other in left if equal(item, other)), None)
        if match is not None:
            left.remove(match)
            matched.append(match)
        elif counted or not any(equal(item, other) for other in matched):
            return False
    return not left if counted else all(any(equal(other, gone) for gone in matched) for other in left)


def _without_name(text: str) -> str:
    r"""``x \in [0, 1)`` and ``(x, y) = (1, 2)`` without what is named."""
    return re.sub(r"^(?:[a-zA-Z]|\([a-zA-Z](?:\s*,\s*[a-zA-Z])*\))\s*(?:\\in(?![a-zA-Z])|=)\s*(?=[(\[{\\])", "", text)


def _enclosed(text: str) -> tuple[str | None, str]:
    """What one pair of brackets around the whole text encloses, and the pair."""
    text = text.strip()
    bare = text.replace(r"\{", "{").replace(r"\}", "}").replace(r"\langle", "(").replace(r"\rangle", ")")
    if len(bare) < 2 or bare[0] not in _OPENING or bare[-1] not in _CLOSING:
        return None, ""
    depth = 0
    for place, character in enumerate(bare):
        depth += (character in _OPENING) - (character in _CLOSING)
        if depth == 0 and place < len(bare) - 1:
            return None, ""
    return bare[1:-1], bare[0] + bare[-1]


def _at_commas(text: str, grouped: bool) -> tuple[str, ...] | None:
    """The text between commas and words like "or" outside brackets; None if a part is empty."""
    if grouped and _THOUSANDS.fullmatch(text.strip()):
        return (text.strip(),)
    text = _AND.sub(", ", text)
    # With a space after each separating comma, those without one can only group thousands: 1,000, 2,000.
    places = _commas(text)
    spaced = [place for place in places if text[place + 1 : place + 2].isspace() or text[place] == ";"]
    pieces = _cut(text, spaced)
    if spaced and all(len(_commas(piece)) == 0 or _THOUSANDS.fullmatch(piece.strip()) for piece in pieces):
        items = pieces
    else:
        items = _cut(text, places)
    items = [item.strip() for item in items]
    if not all(items):
        return None
    return tuple(part for item in items for part in _signs(item))


def _commas(text: str) -> list[int]:
    depth, places = 0, []
    for place, character in enumerate(text):
        depth = max(0, depth + (character in _OPENING) - (character in _CLOSING))
        if depth == 0 and character in ",;":
            places.append(place)
    return places


def _cut(text: str, places: list[int]) -> list[str]:
    starts, ends = [0, *(place + 1 for place in places)], [*places, len(text)]
    return [text[start:end] for start, end in zip(starts, ends, strict=True)]


def _signs(item: str) -> list[str]:
    r"""``a \pm b`` is two answers. With more than one sign in it, what goes with what is for the algebra."""
    if len(re.findall(r"\\pm|\\mp", item)) != 1:
        return [item]
    return [re.sub(r"\\pm|\\mp", sign, item) for sign in ("+", "-")]
