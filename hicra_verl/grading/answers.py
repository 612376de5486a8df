"""Answers as text: finding them, and the comparisons that need no algebra."""

from __future__ import annotations

import re
from typing import Literal

Kind = Literal["math", "choice", "number"]
"""``math``: an expression. ``choice``: a letter, or the text of the option it stands for. ``number``: a quantity, the
unit aside, compared at the precision the expected answer is given with (the vision-language benchmarks)."""

MAX_ANSWER_CHARACTERS = 2_000  # ours: of AIME24, AMC23, Minerva and OlympiadBench the longest has 210
MAX_NESTING = 100  # ours: theirs nest 4 deep at most; parsers recurse

_BOX = re.compile(r"\\(?:boxed|fbox)\s*\{")
_WORDLESS = re.compile(r"\\(?:text|mathrm|mathbf|textbf|mathit|operatorname)\s*\{([^{}]*)\}")
_SPACES = re.compile(r"(?:\s|(?<!\\)\\[,;: ]|\\q?quad(?![a-zA-Z])|~)+")  # after a backslash, it ends a row
_TYPESETTING = re.compile(r"(?<!\\)\\[!()\[\]]|\\(?:left|right|displaystyle|big|Big|bigg|Bigg)(?![a-zA-Z])")
_THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?%?")
_SIGNS = {
    "−": "-",
    "–": "-",
    "×": r"\times ",
    "·": r"\cdot ",
    "⋅": r"\cdot ",
    "°": r"^\circ ",
    "π": r"\pi ",
    "∞": r"\infty ",
    "±": r"\pm ",
    "≤": r"\le ",
    "≥": r"\ge ",
    "∪": r"\cup ",
    "√": r"\sqrt ",
}
_RAISED_DIGITS = str.maketrans("⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "+-0123456789")
_RAISED = re.compile(r"[⁺⁻]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+")
_NUMBER = re.compile(r"[-+]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LETTER = re.compile(r"\(?([A-Za-z])\)?(?:[.:,)\s].*)?", re.DOTALL)


def last_boxed(text: str) -> str | None:
    r"""The content of the last complete ``\boxed{…}`` or ``\fbox{…}``, outer white space removed; None if none.

    Braces balance; escaped ones (``\{``) do not count. Takes time linear in the text, whatever it holds.
    """
    opened = list(_BOX.finditer(text))
    if not opened:
        return None
    # One pass from the first box on: where each brace that opens a box closes.
    starts = {match.end() - 1 for match in opened}
    stack: list[int] = []
    best: tuple[int, int] | None = None
    for match in re.compile(r"\\.|[{}]", re.DOTALL).finditer(text, opened[0].end() - 1):
        if match.group() == "{":
            stack.append(match.start())
        elif match.group() == "}" and stack:
            start = stack.pop()
            if start in starts and (best is None or start > best[0]):
                best = (start, match.start())
    return None if best is None else text[best[0] + 1 : best[1]].strip()


def nesting(text: str) -> int:
    """How deeply braces, brackets and parentheses nest."""
    depth = deepest = 0
    for character in text:
        if character in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "}])":
            depth = max(0, depth - 1)
    return deepest


def clean(answer: str) -> str:
    r"""The answer in plain LaTeX: no dollar signs or typesetting, one kind of space, one name for a sign.

    Spaces stay where they carry meaning: ``2 1/2`` is not ``21/2``, and ``\pi r`` is not ``\pir``.
    """
    text = re.sub(r"\\?\$", "", answer)
    for sign, command in _SIGNS.items():
        text = text.replace(sign, command)
    text = _RAISED.sub(lambda match: "^{" + match.group().translate(_RAISED_DIGITS) + "}", text)
    text = _TYPESETTING.sub("", text)
    text = re.sub(r"\\[dtc]frac(?![a-zA-Z])", r"\\frac", text)
    text = re.sub(r"(?<=\d)\\,(?=\d{3}(?!\d))", " ", text)
    text = _SPACES.sub(" ", text).replace(r"\%", "%").strip()
    # "about 4.5" claims 4.5; a value that was rounded to it is compared as such.
    text = re.sub(r"\\(?:approx|simeq)(?![a-zA-Z])|≈", "=", text).lstrip("= ")
    return text.rstrip(". ")


def normalise(answer: str) -> str:
    """The answer as ``clean`` has it, further without what does not change its value: text commands and spacing."""
    text = _WORDLESS.sub(r"\1", clean(answer))
    text = re.sub(r"(?<=\d) (?=\d)", "\0", text).replace(" ", "").replace("\0", " ")
    return re.sub(r"(?<=\d),(?=\d{3}(?!\d))", "", text) if _THOUSANDS.fullmatch(text) else text


def choice_equal(given: str, expected: str, options: list[str] | None = None) -> bool:
    """``B``, ``(b)``, ``B. 12 cm``, and the text of option B, are one answer.

    Args:
        given: the boxed answer.
        expected: the letter, or the text of an option.
        options: the options' texts in order, where known.
    """
    given, expected = _WORDLESS.sub(r"\1", given.strip("$ .")), _WORDLESS.sub(r"\1", expected.strip("$ ."))
    texts = {normalise(option).casefold(): chr(ord("A") + place) for place, option in enumerate(options or [])}

    def letter(answer: str) -> str | None:
        if normalise(answer).casefold() in texts:
            return texts[normalise(answer).casefold()]
        match = _LETTER.fullmatch(answer.strip())
        return match.group(1).upper() if match else None

    wanted = letter(expected)
    if wanted is None:
        return normalise(given).casefold() == normalise(expected).casefold()
    return letter(given) == wanted


def number_equal(given: str, expected: str) -> bool | None:
    """Compare two quantities, units aside, at the precision of the expected one; None if one of them is no number."""
    values = []
    for answer in (given, expected):
        text = _WORDLESS.sub(r" \1", answer.strip().strip("$")).replace(r"\%", "%").replace("\\$", "")
        found = _NUMBER.search(text)
        # Only a unit may stand beside the number: a formula is for the algebra.
        if not found or re.search(r"[\d\\^/*=]", text[: found.start()] + _unit_powers(text[found.end() :])):
            return None
        values.append(found.group().replace(",", ""))
    given_value, expected_value = (float(value) for value in values)
    decimals = len(values[1].split(".")[1]) if "." in values[1] and "e" not in values[1].lower() else 0
    if "." not in values[1]:
        return given_value == expected_value
    return round(given_value, decimals) == round(expected_value, decimals)


def _unit_powers(text: str) -> str:
    r"""A unit's own exponent and slash (``cm^2``, ``m/s``, ``^\circ``) are no formula."""
    return re.sub(r"\^\s*\{?\\circ\}?|(?<=[a-zA-Z])\s*\^\s*\{?-?\d\}?|(?<=[a-zA-Z])\s*/\s*(?=[a-zA-Z])|\s*%", "", text)
