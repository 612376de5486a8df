"""Published answers rewritten as models write them, and their nearest wrong neighbours, kind by kind.

Each function yields pairs of a kind and an answer. What they know of an answer is its shape alone; none of them uses
the grader, apart from the box.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from hicra_verl.data.sources import SOURCES

Variants = Iterator[tuple[str, str]]

NUMBER = re.compile(r"([-+]?)(\d*\.?\d+)(?:e([-+]?\d+))?")
FRACTION = re.compile(r"(-?)\\frac\{(\d+)\}\{(\d+)\}")
MIXED = re.compile(r"(\d+)\\frac\{(\d+)\}\{(\d+)\}")
SUFFIXED = re.compile(r"(\d+(?:\.\d+)?)\s*(\\?%|\^\{\\circ\})")
INTERVAL = re.compile(r"([(\[])([^,()\[\]]*),([^,()\[\]]*)([)\]])")
RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def published(folder: Path) -> list[tuple[str, str]]:
    """Benchmark and answer of every problem of the four benchmarks, as `hicra data` reads them, and of the rollouts."""
    found = []
    for name in ("aime24", "amc23", "minerva", "olympiad"):
        rows = _lines(folder / "benchmarks" / f"{name}.jsonl")
        layout = SOURCES[name].layout_of(list(rows[0]), name)
        found += [(name, layout.read(row).answer) for row in rows]
    for name in ("math_cot_100", "gsm8k_four_models"):
        found += sorted({(name, row["ground_truth"]) for row in _lines(folder / "rollouts" / f"{name}.jsonl")})
    return found


def _lines(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def scientific(mantissa: str, exponent: int, sign: str = "") -> str:
    return rf"{sign}{mantissa} \times 10^{{{exponent}}}"


def parts(answer: str) -> list[str]:
    """What stands between commas outside brackets."""
    pieces, depth, start = [], 0, 0
    for place, character in enumerate(answer):
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            pieces.append(answer[start:place].strip())
            start = place + 1
    return [*pieces, answer[start:].strip()]


def plain(answer: str) -> str:
    r"""The answer without what only sets it: dollar signs, ``\quad``, grouped thousands' braces."""
    return answer.replace("$", "").replace(r"\quad", "").replace("{,}", ",").strip().rstrip(".")


def shape(answer: str) -> str:
    """What sort of answer this is; "prose" if it is none that can be rewritten by rule."""
    bare = plain(answer)
    if re.search(r"[a-zA-Z]{3,}\s+[a-zA-Z]|\d:\d", re.sub(r"\\[a-zA-Z]+|\\text\s*\{[^}]*\}", "", bare)):
        return "prose"
    if re.fullmatch(r"-?\d{1,3}(,\d{3})+", bare) or NUMBER.fullmatch(bare):
        return "number"
    if SUFFIXED.fullmatch(bare):
        return "suffixed"
    if FRACTION.fullmatch(bare):
        return "fraction"
    if MIXED.fullmatch(bare):
        return "mixed"
    if len(parts(bare)) > 1:
        return "list"
    if INTERVAL.fullmatch(bare) and (r"\infty" in bare or bare[0] == "[" or bare[-1] == "]"):
        return "interval"
    if bare.startswith("(") and bare.endswith(")") and len(parts(bare[1:-1])) > 1 and bare.count("(") == 1:
        return "tuple"
    if re.search(r"[<>]|\\geq|\\leq|\\cup|\\angle", bare):
        return "relation"
    return "equation" if "=" in bare else "expression"


def rewritten(answer: str) -> Variants:
    """The answer in other notations: every one is right."""
    bare = plain(answer)
    sort = shape(answer)
    if sort == "prose":
        return
    yield "dollars", f"${bare}$"
    yield "full stop", f"{bare}."
    if sort == "number":
        yield from _number_rewritten(bare.replace(",", ""))
    elif sort == "suffixed":
        yield from _suffixed_rewritten(bare)
    elif sort == "fraction":
        yield from _fraction_rewritten(bare)
    elif sort == "mixed":
        whole, above, below = (int(part) for part in MIXED.fullmatch(bare).groups())  # type: ignore[union-attr]
        yield "mixed: fraction", rf"\frac{{{whole * below + above}}}{{{below}}}"
        yield "mixed: sum", rf"{whole}+\frac{{{above}}}{{{below}}}"
        yield "mixed: slash", f"{whole} {above}/{below}"
    elif sort == "list":
        items = parts(bare)
        yield "list: order", ", ".join(reversed(items))
        yield "list: set", r"\{" + ",".join(items) + r"\}"
        yield "list: and", ", ".join(items[:-1]) + r" \text{ and } " + items[-1]
        yield "list: spacing", r",\ ".join(items)
    elif sort == "interval":
        yield "interval: left right", rf"\left{bare[0]}{bare[1:-1]}\right{bare[-1]}"
        yield "interval: member", rf"x \in {bare}"
        yield "interval: inequality", _inequality(bare)
    elif sort == "tuple":
        yield "tuple: left right", rf"\left({bare[1:-1]}\right)"
        yield "tuple: spacing", "( " + " , ".join(parts(bare[1:-1])) + " )"
    elif sort == "relation":
        yield "relation: spacing", bare.replace(" ", r"\,").replace(r"\geqslant", r"\ge")
    elif sort == "equation":
        left, _, right = bare.partition("=")
        yield "equation: swapped", f"{right}={left}"
        yield "equation: left right", f"{left}=\\left({right}\\right)"
        if re.fullmatch(r"\s*[a-zA-Z](_\{[^}]*\})?\s*(\([a-z]\))?\s*", left):
            yield "equation: right side", right.strip()
    else:
        yield "expression: brackets", rf"\left({bare}\right)"
        yield "expression: dfrac", bare.replace(r"\frac", r"\dfrac").replace(" ", r"\,")
        if len(bare.lstrip("\\")) > 1 and not bare.lstrip("\\").isalpha():
            yield "expression: factor", rf"\frac{{2\left({bare}\right)}}{{2}}"
        yield "expression: equation", f"x = {bare}"


def neighbours(answer: str) -> Variants:
    """Answers next to it: every one is wrong."""
    bare = plain(answer)
    sort = shape(answer)
    if sort == "number":
        yield from _number_neighbours(bare.replace(",", ""))
    elif sort == "suffixed":
        match = SUFFIXED.fullmatch(bare)
        assert match
        yield "sign", f"-{bare}"
        yield "exponent", f"{Decimal(match[1]) * 10}{match[2]}"
        yield "digit", f"{Decimal(match[1]) + 1}{match[2]}"
    elif sort == "fraction":
        match = FRACTION.fullmatch(bare)
        assert match
        sign, above, below = match[1], int(match[2]), int(match[3])
        yield "sign", rf"{'' if sign else '-'}\frac{{{above}}}{{{below}}}"
        yield "order", rf"{sign}\frac{{{below}}}{{{above}}}"
        yield "digit", rf"{sign}\frac{{{above + 1}}}{{{below}}}"
        yield "exponent", rf"{sign}\frac{{{above}0}}{{{below}}}"
        yield "rounded", f"{sign}{above / below:.3f}" if above * 1000 % below else f"{sign}{above + 1}/{below}"
    elif sort == "mixed":
        whole, above, below = (int(part) for part in MIXED.fullmatch(bare).groups())  # type: ignore[union-attr]
        yield "sign", f"-{bare}"
        yield "mixed: product", rf"{whole} \cdot \frac{{{above}}}{{{below}}}"
        if Fraction(int(f"{whole}{above}"), below) != whole + Fraction(above, below):  # 1 1/10 is 11/10
            yield "mixed: run together", f"{whole}{above}/{below}"
        yield "order", rf"{whole}\frac{{{below}}}{{{above}}}"
    elif sort == "list":
        items = parts(bare)
        yield "list: one fewer", ",".join(items[:-1])
        yield "list: one more", ",".join([*items, "987654"])
        yield "list: another last", ",".join([*items[:-1], f"{items[-1]}+1" if "(" not in items[-1] else "(7,7,7,7)"])
    elif sort == "interval":
        yield "interval: left end", ("(" if bare[0] == "[" else "[") + bare[1:]
        yield "interval: right end", bare[:-1] + ("]" if bare[-1] == ")" else ")")
        yield "interval: order", bare[0] + ",".join(reversed(parts(bare[1:-1]))) + bare[-1]
    elif sort == "tuple":
        items = parts(bare[1:-1])
        if items != items[::-1]:
            yield "order", "(" + ",".join(reversed(items)) + ")"
        yield "sign", "(" + ",".join([f"-({items[0]})" if items[0] != "0" else "1", *items[1:]]) + ")"
        yield "tuple: one fewer", "(" + ",".join(items[:-1]) + ")"
    elif sort == "relation" and r"\geqslant" in bare:
        yield "relation: strict", bare.replace(r"\geqslant", ">")
        yield "relation: turned", bare.replace(r"\geqslant", r"\le")
        yield "relation: one more", f"{bare}+1"
    elif sort == "equation":
        left, _, right = bare.partition("=")
        yield "equation: sign", f"{left}=-({right})" if right.strip() != "0" else f"{left}=1"
        yield "equation: one more", f"{left}={right}+1"
    elif sort == "expression":
        yield "sign", rf"-\left({bare}\right)"
        yield "expression: one more", f"{bare}+1"
        yield "expression: twice", rf"2\left({bare}\right)"
        yield "order", rf"\frac{{1}}{{{bare}}}"
        if match := re.search(r"\^\{?(\d+)", bare):
            yield "exponent", f"{bare[: match.start(1)]}{int(match[1]) + 1}{bare[match.end(1) :]}"


def _number_rewritten(bare: str) -> Variants:
    match = NUMBER.fullmatch(bare)
    assert match
    sign, mantissa, exponent = match[1].replace("+", ""), match[2], int(match[3] or 0)
    value = Decimal(bare)
    yield (
        "unit",
        rf"{bare} \text{{ cm}}" if not match[3] else rf"{scientific(mantissa, exponent, sign)} \text{{ erg/s}}",
    )
    yield "equation", f"x = {bare}"
    if match[3]:
        yield "scientific", scientific(mantissa, exponent, sign)
        yield "scientific: cdot", rf"{sign}{mantissa}\cdot10^{{{exponent}}}"
        yield (
            "scientific: star",
            f"{sign}{mantissa}*10^{exponent}" if exponent > 0 else f"{sign}{mantissa}*10^({exponent})",
        )
        yield "scientific: E", f"{sign}{mantissa}E{exponent:+03d}"
        yield "scientific: shifted", scientific(f"{Decimal(mantissa) * 10:f}", exponent - 1, sign)
        yield (
            "scientific: signs",
            f"{mantissa} × 10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}",
        )
        yield "scientific: unit", rf"{scientific(mantissa, exponent, sign)} \mathrm{{~g}} \mathrm{{~cm}}^{{-3}}"
        yield "scientific: equation", f"L = {scientific(mantissa, exponent, sign)}"
        yield "scientific: about", rf"\approx {scientific(mantissa, exponent, sign)}"
        if abs(exponent) <= 12:
            yield "decimal", f"{value:f}"
    elif "." in bare:
        yield "decimal: zero", f"{bare}0"
        yield "decimal: no nought", re.sub(r"^([-+]?)0\.", r"\1.", bare)
        fraction = Fraction(bare)
        yield "fraction", rf"{sign}\frac{{{abs(fraction.numerator)}}}{{{fraction.denominator}}}"
        lead = value.adjusted()
        yield "scientific", scientific(f"{abs(value).scaleb(-lead):f}", lead, sign)
    else:
        whole = int(bare)
        yield "decimal", f"{whole}.0"
        yield "leading zero", f"{sign}0{abs(whole)}"
        yield "fraction", rf"\frac{{{3 * whole}}}{{3}}"
        if abs(whole) >= 1000:
            yield "thousands", f"{whole:,}"
            yield "thousands: braces", f"{whole:,}".replace(",", "{,}")
            yield "thousands: thin space", f"{whole:,}".replace(",", r"\,")
        if whole and abs(whole) < 10**15:
            lead = value.adjusted()
            yield "scientific", scientific(f"{abs(value).scaleb(-lead):f}", lead, sign)


def _number_neighbours(bare: str) -> Variants:
    match = NUMBER.fullmatch(bare)
    assert match
    sign, mantissa, exponent = match[1].replace("+", ""), match[2], int(match[3] or 0)
    value = Decimal(bare)
    other = "" if sign else "-"
    if match[3]:
        yield "sign", scientific(mantissa, exponent, other)
        yield "exponent", scientific(mantissa, exponent + 1)
        yield "exponent", scientific(mantissa, exponent - 1)
        yield "exponent: sign", scientific(mantissa, -exponent)
        yield "base", rf"{mantissa} \times 2^{{{exponent}}}"
        yield "base", rf"{mantissa} e^{{{exponent}}}"
        yield "digit", scientific(f"{Decimal(mantissa) + Decimal('0.1')}", exponent)
        yield "zero", "0"
        return
    if value:
        yield "sign", f"{other}{bare.lstrip('+-')}"
        yield "exponent", f"{value * 10:f}"
        yield "exponent", f"{value / 10:f}"
        yield "exponent", scientific(bare, 3)
    yield "digit", f"{value + Decimal(1).scaleb(int(value.as_tuple().exponent)):f}"
    yield "list: one more", f"{bare}, 987654"
    if "." not in bare and re.fullmatch(r"[0-7]+", bare):
        yield "base", f"{bare}_8"


def _suffixed_rewritten(bare: str) -> Variants:
    match = SUFFIXED.fullmatch(bare)
    assert match
    number, suffix = match[1], match[2]
    yield "without its unit", number
    if "%" in suffix:
        yield "percent", rf"{number}\%"
        yield "percent: word", rf"{number} \text{{ percent}}"
        yield "percent: value", f"{Decimal(number) / 100:f}"
    else:
        yield "degrees", rf"{number}^\circ"
        yield "degrees: sign", f"{number}°"
        yield "degrees: word", rf"{number} \text{{ degrees}}"


def _fraction_rewritten(bare: str) -> Variants:
    match = FRACTION.fullmatch(bare)
    assert match
    sign, above, below = match[1], int(match[2]), int(match[3])
    yield "fraction: slash", f"{sign}{above}/{below}"
    yield "fraction: dfrac", rf"{sign}\dfrac{{{above}}}{{{below}}}"
    yield "fraction: sign inside", rf"\frac{{{sign}{above}}}{{{below}}}"
    yield "fraction: not reduced", rf"{sign}\frac{{{2 * above}}}{{{2 * below}}}"
    yield "equation", f"p = {bare}"
    if above > below:
        yield "fraction: mixed", rf"{sign}{above // below}\frac{{{above % below}}}{{{below}}}"
    decimal = Decimal(above) / Decimal(below)
    if Fraction(decimal) == Fraction(above, below):
        yield "fraction: decimal", f"{sign}{decimal}"


def _inequality(bare: str) -> str:
    low, high = parts(bare[1:-1])
    less_low, less_high = ("<" if bare[0] == "(" else r"\le"), ("<" if bare[-1] == ")" else r"\le")
    if r"\infty" in low:
        return f"x {less_high} {high}"
    return rf"{low} {less_low} x {less_high} {high}" if r"\infty" not in high else f"{low} {less_low} x"
