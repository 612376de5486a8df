r"""Numerals: reading the ways in which one number is written, and when two of them are one number.

An answer is a numeral if it is nothing but a number: ``4.5e33``, ``4.5 \times 10^{33}``, ``1,000``, ``10{,}000``,
``-\frac{1}{3}``, ``2\frac{1}{2}``, ``8\%``, ``\$5``, ``12\text{ cm}``, ``2.3 million``. It is read exactly, without
algebra; most answers are settled here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from hicra_verl.grading.units import split_unit, units_differ

LONGEST = 400  # ours: characters; 2^1009 written out has 304
LARGEST_EXPONENT = 400  # ours: a power of ten beyond it is left to the algebra, which has limits
PLACES = 6  # math-verify's own: decimals that have to agree

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)|\d{1,3}(?: \d{3})+(?!\d)|\d+)(?:\.\d*)?|\.\d+"
_TEN = r"10\s*\^\s*(?:\{\s*([-+]?\s*\d+)\s*\}|\(\s*([-+]?\d+)\s*\)|([-+]?\d+))"
_SCIENTIFIC = re.compile(rf"({_DIGITS})\s*(?:[eE]\s*([-+]?\d+)|(?:\\times|\\cdot|\*|x)\s*{_TEN})")
_POWER_OF_TEN = re.compile(_TEN)
_PLAIN = re.compile(_DIGITS)
_PART = rf"(?:{_DIGITS})"
_FRACTION = re.compile(rf"\\frac\s*(?:\{{\s*([-+]?)\s*({_PART})\s*\}}|(\d))\s*(?:\{{\s*({_PART})\s*\}}|(\d))")
_SLASH = re.compile(rf"({_PART})\s*/\s*({_PART})")
_MIXED = re.compile(r"(\d+)\s*(?:\\frac\s*(?:\{\s*(\d+)\s*\}|(\d))\s*(?:\{\s*(\d+)\s*\}|(\d))|(?<= )(\d+)\s*/\s*(\d+))")
_REPEATING = re.compile(r"(\d*)\.(\d*)\\overline\s*\{\s*(\d+)\s*\}")
_SCALE = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
_SCALED = re.compile(rf"(.*?)\s*(?:\\(?:text|mathrm)\s*\{{\s*)?({'|'.join(_SCALE)})\s*\}}?", re.DOTALL)
_PERCENT = re.compile(r"(.*?)\s*(?:%|(?:\\(?:text|mathrm)\s*\{\s*)?(?:percent|per cent)\s*\}?)", re.DOTALL)
_BASED = re.compile(
    r"(?:\(\s*([\dA-Z.]+)\s*\)|(?:\\(?:text|mathrm)\s*\{\s*)?(\d[\dA-Z.]*)\s*\}?)"
    r"(?:\s*_\s*(?:\{(.*)\}|(\d)|(\\text\s*\{.*\}))|\s*(?:\\text\s*\{)?\s*(base\s*[a-z\d]+)\s*\}?)"
)
_BASES = {"two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8, "nine": 9, "ten": 10}
_BASES |= {"eleven": 11, "twelve": 12, "sixteen": 16}


@dataclass(frozen=True)
class Numeral:
    """A number as written.

    Attributes:
        value: the number; of ``8%`` it is 8.
        exact: False if it has a decimal point or a power of ten, so that it may be rounded.
        percent: whether a percent sign follows.
        unit: the unit that follows, "" if none.
    """

    value: Fraction
    exact: bool
    percent: bool = False
    unit: str = ""


def read(text: str, loose_units: bool = True) -> Numeral | None:
    """The numeral that the whole text is, or None.

    Args:
        text: an answer, as ``answers.clean`` leaves it.
        loose_units: whether a known unit may follow in plain letters.
    """
    if len(text) > LONGEST or not re.search(r"\d", text):
        return None
    text, unit = split_unit(text.replace("{,}", ","), loose_units)
    percent = _PERCENT.fullmatch(text)
    if percent and not unit:
        text = percent.group(1)
    scaled = _SCALED.fullmatch(text)
    if scaled:
        text = scaled.group(1)
    text, sign = text.strip(), 1
    while text.startswith(("+", "-")):
        sign, text = (-sign if text[0] == "-" else sign), text[1:].strip()
        if text.startswith(("+", "-")):
            return None
    found = _unsigned(text)
    if found is None:
        return None
    value, exact = found
    scale = 10 ** _SCALE[scaled.group(2)] if scaled else 1
    return Numeral(sign * value * scale, exact and not scaled, percent is not None and not unit, unit)


def _unsigned(text: str) -> tuple[Fraction, bool] | None:
    """The value of a number without a sign, and whether it is written exactly."""
    if _PLAIN.fullmatch(text):
        return _decimal(text), "." not in text
    if match := _SCIENTIFIC.fullmatch(text):
        power = _power(next(part for part in match.groups()[1:] if part is not None))
        return None if power is None else (_decimal(match.group(1)) * power, False)
    if match := _POWER_OF_TEN.fullmatch(text):
        power = _power(next(part for part in match.groups() if part is not None))
        return None if power is None else (power, True)
    if match := _MIXED.fullmatch(text):
        whole, *parts = (int(part) for part in match.groups() if part is not None)
        return None if parts[1] == 0 else (whole + Fraction(parts[0], parts[1]), True)
    if match := _REPEATING.fullmatch(text):
        head, once, again = match.groups()
        tail = Fraction(int(again), 10 ** len(again) - 1)
        return (Fraction(int(f"0{head}{once}")) + tail) / 10 ** len(once), True
    if match := _FRACTION.fullmatch(text):
        sign = -1 if match.group(1) == "-" else 1
        above, below = match.group(2) or match.group(3), match.group(4) or match.group(5)
    elif match := _SLASH.fullmatch(text):
        sign, above, below = 1, match.group(1), match.group(2)
    else:
        return None
    divisor = _decimal(below)
    if divisor == 0:
        return None
    return sign * _decimal(above) / divisor, all("." not in part.rstrip(".") for part in (above, below))


def _decimal(text: str) -> Fraction:
    text = text.replace(",", "").replace(" ", "").rstrip(".")
    return Fraction(f"0{text}" if text.startswith(".") else text)


def _power(exponent: str) -> Fraction | None:
    power = int(exponent.replace(" ", ""))
    return Fraction(10) ** power if abs(power) <= LARGEST_EXPONENT else None


def equal(given: Numeral, expected: Numeral) -> bool:
    """Whether the two are one number.

    Integers and fractions have to be the same. Where one of the two is a decimal, they have to agree to six places
    after the point (math-verify's rule), or for numbers below 0.1 to six significant digits: there, six places would
    make 1e-26 and 1e-27 one number. There is no further tolerance: evaluations that accept a relative error of 0.01%,
    as Qwen2.5-Math's, score higher on Minerva, whose answers are rounded.

    A percentage is its value (``8%`` is 0.08). Without its sign it is right where it was expected with one, and
    with it where a bare number above 1 was expected, since there the problem asked for the percentage.
    """
    if given.unit and expected.unit and units_differ(given.unit, expected.unit):
        return False
    given_value, expected_value = given.value, expected.value
    exact = given.exact and expected.exact
    if given.percent == expected.percent:
        return _agree(given_value, expected_value, exact)
    if expected.percent:
        return _agree(given_value, expected_value, exact) or _agree(given_value, expected_value / 100, exact)
    if _agree(given_value / 100, expected_value, exact):
        return True
    return abs(expected_value) > 1 and _agree(given_value, expected_value, exact)


def _agree(given: Fraction, expected: Fraction, exact: bool) -> bool:
    if exact or given == expected:
        return given == expected
    return abs(given - expected) <= tolerance(expected)


def tolerance(expected: Fraction | float) -> Fraction:
    """Half a unit in the sixth decimal place, or in the sixth significant digit of a number below 0.1; 0 at 0."""
    if expected == 0:
        return Fraction(0)
    size, places = abs(Fraction(expected)), PLACES
    while size < Fraction(1, 10) and places < LARGEST_EXPONENT:
        size, places = size * 10, places + 1
    return Fraction(1, 2 * 10**places)


def read_based(text: str) -> tuple[str, int] | None:
    r"""The digits and the base of ``11_8``, ``11_{8}``, ``(11)_8``, ``11_{\text{eight}}``, ``11 base 8``; else None.

    The base is part of the answer: problems that have one ask for the number in that base, so ``11_8`` is neither 11
    nor 9 nor ``1001_2``. Base ten may be left out.
    """
    if len(text) > LONGEST:
        return None
    match = _BASED.fullmatch(text)
    if not match:
        return None
    digits = match.group(1) or match.group(2)
    subscript = next(part for part in match.groups()[2:] if part is not None)
    name = re.sub(r"\\text|[{}]|\bbase\b", " ", subscript).strip().lower()
    base = int(name) if re.fullmatch(r"\d{1,2}", name) else _BASES.get(name)
    if base is None:
        return None
    return digits.lstrip("0") or "0", base


def same(given: str, expected: str) -> bool | None:
    """Whether two answers, as ``answers.clean`` leaves them, are one number; None if one of them is no numeral."""
    bases = read_based(given), read_based(expected)
    if any(bases):
        written = (based or (text, 10) for based, text in zip(bases, (given, expected), strict=True))
        (given, base), (expected, expected_base) = written
        if base != expected_base:
            return False
        if base != 10:
            return given == expected
    wanted = read(expected, loose_units=False)
    found = read(given) if wanted is not None else None
    return None if wanted is None or found is None else equal(found, wanted)
