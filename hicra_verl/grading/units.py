"""Units at the end of an answer: taking them off, and telling a different unit from the same one.

Graders of these benchmarks drop units (Hendrycks et al.'s, Qwen2.5-Math's and math-verify do), since the problem names
the unit and most published answers have none. Two rules keep that strict: a bare letter is a unit only where the
expected answer has no variables of its own (``4t`` is not 4 with a unit), and two units that are both known and not
the same are two different answers (``5 cm`` is not ``5 m``; nothing is converted).
"""

from __future__ import annotations

import re
from collections import Counter

LONGEST = 120  # ours: characters; the time to find a unit grows with the square of it

_NAMES = {
    "m": "m meter meters metre metres",
    "cm": "cm centimeter centimeters centimetre centimetres",
    "mm": "mm millimeter millimeters millimetre millimetres",
    "km": "km kilometer kilometers kilometre kilometres",
    "nm": "nm nanometer nanometers nanometre nanometres",
    "in": "in inch inches",
    "ft": "ft foot feet",
    "yd": "yd yard yards",
    "mi": "mi mile miles",
    "g": "g gram grams gm",
    "kg": "kg kilogram kilograms",
    "mg": "mg milligram milligrams",
    "lb": "lb lbs pound pounds",
    "s": "s sec secs second seconds",
    "ms": "ms millisecond milliseconds",
    "min": "min mins minute minutes",
    "h": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "yr": "yr yrs year years",
    "L": "l liter liters litre litres",
    "mL": "ml milliliter milliliters millilitre millilitres",
    "K": "kelvin kelvins",
    "J": "joule joules",
    "kJ": "kj kilojoule kilojoules",
    "erg": "erg ergs",
    "eV": "ev",
    "MeV": "mev",
    "N": "newton newtons",
    "W": "watt watts",
    "kW": "kw kilowatt kilowatts",
    "Pa": "pa pascal pascals",
    "Hz": "hz hertz",
    "V": "volt volts",
    "mol": "mol mole moles",
    "rad": "rad radian radians",
    "degree": "deg degs degree degrees",
    "dollar": "dollar dollars",
    "cent": "cent cents",
    "mph": "mph",
}
_CANONICAL = {name: unit for unit, names in _NAMES.items() for name in names.split()}

_POWER = r"(?:\s*\^\s*(?:\{\s*-?\d\s*\}|-?\d))?"
_COMMAND = r"\\(?:text|mathrm|mbox|textrm|textnormal|operatorname|rm)\s*"
_IN_COMMAND = rf"{_COMMAND}\{{[^{{}}]*\}}{_POWER}"
_BARE = "|".join(sorted({*_NAMES, *_CANONICAL}, key=len, reverse=True))
_ONE_BARE = rf"(?<![a-zA-Z\\])(?:{_BARE})(?![a-zA-Z]){_POWER}"
_DEGREES = r"\^\s*(?:\{\s*\\circ\s*\}|\\circ)"
_WRITTEN = re.compile(rf"(?:{_DEGREES}|{_IN_COMMAND})(?: ?(?:(?:/|\\cdot|\\times) ?)?{_IN_COMMAND})*\s*$")
_LOOSE = re.compile(rf"{_ONE_BARE}(?: ?(?:(?:/|\\cdot|\*|per) ?)?{_ONE_BARE})*\s*$")
_FRACTION = re.compile(rf"\\frac\s*\{{\s*({_IN_COMMAND})\s*\}}\s*\{{\s*({_IN_COMMAND})\s*\}}\s*$")
_NO_UNIT = re.compile(
    r"\b(?:and|or|where|for|if|hundred|thousand|million|billion|trillion|dozen|base)\b|^\s*[^a-zA-Z]*$|^\s*[ied]\s*$"
)
_COMMAND_OR_TEXT = re.compile(rf"{_COMMAND}\{{[^{{}}]*\}}|\\[a-zA-Z]+")


def has_variables(text: str) -> bool:
    """Whether letters stand in the text that are neither a command nor in roman type."""
    return re.search(r"[a-zA-Z]", _COMMAND_OR_TEXT.sub(" ", text)) is not None


def split_unit(text: str, loose: bool) -> tuple[str, str]:
    r"""The answer without the unit at its end, and that unit ("" if none).

    Args:
        text: an answer, as ``answers.clean`` leaves it.
        loose: whether a known unit in plain letters counts (``5 cm``) or only one in roman type (``5\text{ cm}``).
    """
    text = _FRACTION.sub(r"\1/\2", text)
    end = max(0, len(text) - LONGEST)
    match = _WRITTEN.search(text, end)
    if match is None and loose:
        match = _LOOSE.search(text, end)
        # One letter right after a digit is a variable: 5m is 5 times m, 5 m is five metres.
        if match and re.fullmatch(r"[a-zA-Z]", match.group().strip()) and not text[: match.start()].endswith(" "):
            return text, ""
    if match is None:
        return text, ""
    rest, unit = text[: match.start()].rstrip(), match.group()
    words = re.sub(rf"{_COMMAND}\{{([^{{}}]*)\}}", r" \1 ", unit)
    if not rest or rest[-1] in "+-=/*^_({[\\," or _NO_UNIT.search(re.sub(_DEGREES, " degree ", words)):
        return text, ""
    return rest, unit


def units_differ(one: str, other: str) -> bool:
    """True if both units are known and are not the same; an unknown one is taken on trust, as published graders do."""
    known = _known(one), _known(other)
    return None not in known and known[0] != known[1]


def _known(unit: str) -> tuple[tuple[str, int], ...] | None:
    text = re.sub(_DEGREES, " degree ", unit)
    text = re.sub(rf"{_COMMAND}\{{([^{{}}]*)\}}", r" \1 ", text)
    text = re.sub(r"\bsquare\s+([a-zA-Z]+)", r"\1^2", re.sub(r"\bcubic\s+([a-zA-Z]+)", r"\1^3", text))
    text = re.sub(r"\bper\b", "/", text).replace("\\cdot", " ").replace("\\times", " ").replace("*", " ")
    found: Counter[str] = Counter()
    below = False
    for token in re.findall(r"/|[a-zA-Z]+\s*(?:\^\s*\{?\s*-?\d)?", text):
        if token == "/":
            below = True
            continue
        name, _, power = token.replace("{", "").partition("^")
        name = name.strip()
        # A symbol's case matters (mm, MM), a word's does not.
        canonical = name if name in _NAMES else _CANONICAL.get(name.lower())
        if canonical is None:
            return None
        found[canonical] += (-1 if below else 1) * int(power or 1)
    return tuple(sorted(found.items())) if found else None
