"""Each selector against a slow and obvious reference, and how selectors are found and built."""

from __future__ import annotations

import random
import re
import sys
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

from hicra_verl.arguments import Between, check_argument
from hicra_verl.extensions import SELECTORS, HicraConfigError
from hicra_verl.rollout import MissingFieldError, RolloutBatch

B, T = 4, 7


def made_up(seed: int = 0) -> RolloutBatch:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([7, 4, 1, 0])
    own = torch.arange(T) < lengths[:, None]
    own[0, 3] = False  # a tool's token
    return RolloutBatch(
        torch.randint(0, 50, (B, T), generator=generator),
        own,
        own & (torch.rand(B, T, generator=generator) < 0.4),
        -torch.rand(B, T, generator=generator),
        torch.rand(B, T, generator=generator),
        torch.tensor([1.0, 0.0, 1.0, 0.0]),
        ["a", "a", "b", "b"],
    )


def select(name: str, batch: RolloutBatch, **arguments: Any) -> torch.Tensor:
    mask = SELECTORS.build(name, arguments).call(batch)
    return mask & batch.response_mask


def test_grams_and_all() -> None:
    batch = made_up()
    assert torch.equal(select("grams", batch), batch.planning_mask)
    assert torch.equal(select("all", batch), batch.response_mask)


@pytest.mark.parametrize("fraction", [0.1, 0.3, 0.9])
@pytest.mark.parametrize(
    ("name", "field", "sign"), [("high_entropy", "entropies", 1), ("low_probability", "log_probs", -1)]
)
def test_the_most_uncertain(name: str, field: str, sign: int, fraction: float) -> None:
    batch = made_up()
    own = [(row, column) for row in range(B) for column in range(T) if batch.response_mask[row, column]]
    ranked = sorted(own, key=lambda place: -sign * float(getattr(batch, field)[place]))
    expected = set(ranked[: int(fraction * len(own))])
    found = select(name, batch, fraction=fraction)
    assert {tuple(place) for place in found.nonzero().tolist()} == expected


def test_random_has_the_same_count_and_the_same_draw_again() -> None:
    batch = made_up()
    drawn = select("random", batch)
    assert drawn.sum() == batch.planning_mask.sum() > 0
    assert torch.equal(drawn, select("random", batch))
    others = [select("random", batch, seed=seed) for seed in range(1, 20)]
    assert any(not torch.equal(drawn, other) for other in others)
    assert torch.stack(others).any(dim=0)[batch.response_mask].all(), "every token has its chance"
    assert select("random", batch, fraction=0.5).sum() == int(0.5 * batch.response_mask.sum())


def test_random_ignores_what_is_not_the_policys() -> None:
    batch = made_up()
    changed = batch.token_ids.masked_fill(~batch.response_mask, 49)
    other = RolloutBatch(changed, batch.response_mask, batch.planning_mask)
    assert torch.equal(select("random", batch), select("random", other))


def test_first_tokens_counts_the_policys_own() -> None:
    batch = made_up()
    found = select("first_tokens", batch, count=4)
    assert found.sum(dim=1).tolist() == [4, 4, 1, 0]
    assert found[0].tolist() == [True, True, True, False, True, False, False]


def test_combinations() -> None:
    batch = made_up()
    of = ["grams", {"first_tokens": {"count": 2}}]
    one, other = select("grams", batch), select("first_tokens", batch, count=2)
    assert torch.equal(select("union", batch, of=of), one | other)
    assert torch.equal(select("intersection", batch, of=of), one & other)
    assert SELECTORS.build("union", {"of": ["high_entropy", "low_probability"]}).needs == ("entropies", "log_probs")


def test_what_a_trainer_lacks_is_refused_by_name() -> None:
    batch = made_up()
    bare = RolloutBatch(batch.token_ids, batch.response_mask, batch.planning_mask)
    with pytest.raises(
        MissingFieldError, match=r"high_entropy needs entropies, which this trainer does not keep; verl's V1"
    ):
        select("high_entropy", bare)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("gramms", {}, "selector='gramms': did you mean 'grams'? Known: all, first_tokens"),
        (
            "high_entropy",
            {"fracton": 0.2},
            "selector_args.fracton: high_entropy has no such argument; did you mean 'fraction'?",
        ),
        ("high_entropy", {"fraction": 1.0}, "selector_args.fraction=1.0: expected a number with 0 < fraction < 1"),
        ("high_entropy", {"fraction": float("nan")}, "fraction=nan: expected a number"),
        ("high_entropy", {"fraction": "0.2"}, "selector_args.fraction='0.2': expected a number"),
        ("high_entropy", {"fraction": True}, "selector_args.fraction=True: expected a number"),
        ("first_tokens", {"count": 0}, "selector_args.count=0: expected a number with 1 <= count"),
        ("first_tokens", {"count": 1.5}, "selector_args.count=1.5: expected a whole number"),
        ("grams", {"fraction": 0.1}, "grams has no such argument; it takes none"),
        ("union", {}, "selector_args.of is missing: union needs it"),
        ("union", {"of": "grams"}, "selector_args.of='grams': expected a list"),
        ("union", {"of": ["grams"]}, "expected two selectors or more"),
        ("union", {"of": ["grams", 3]}, "3 is neither a name nor a name with arguments"),
        ("union", {"of": ["grams", "entropy"]}, "selector='entropy': did you mean 'high_entropy'?"),
        (
            "absent_package:thing",
            {},
            "cannot be imported (ModuleNotFoundError: No module named 'absent_package'); its package must be installed",
        ),
        ("hicra_verl.rollout:absent", {}, "cannot be imported"),
        ("hicra_verl.version:__version__", {}, "expected a function or a class, got str"),
    ],
)
def test_wrong_names_and_arguments(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(HicraConfigError, match=re.escape(message)):
        SELECTORS.build(name, arguments)


def test_one_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"guest_{random.randrange(10**9)}"
    (tmp_path / f"{name}.py").write_text(
        "from __future__ import annotations\n"
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n"
        "    from hicra_verl.rollout import RolloutBatch\n"
        "def long_words(batch: RolloutBatch, at_least: int = 3) -> Tensor:\n"
        "    lengths = [len(spelt or b'') for spelt in batch.token_bytes]\n"
        "    import torch\n"
        "    return torch.tensor(lengths)[batch.token_ids] >= at_least\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    batch = RolloutBatch(
        torch.tensor([[0, 1, 2]]), torch.ones(1, 3).bool(), torch.zeros(1, 3).bool(), token_bytes=[b"a", b"four", None]
    )
    assert SELECTORS.build(f"{name}:long_words", {"at_least": 4}).call(batch).tolist() == [[False, True, False]]
    sys.modules.pop(name)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def thing(batch):\n    return (", "cannot be imported (SyntaxError"),
        ("1 / 0", "cannot be imported (ZeroDivisionError"),
        ("class thing:\n    pass\n", "which it does not take"),
        (
            "class thing:\n    def __init__(self):\n        raise ValueError('too late')\n",
            "refuses its arguments: too late",
        ),
        ("other = 1\n", "has no attribute 'thing'"),
        ("import sys\nsys.exit(0)\n", "cannot be imported (SystemExit"),
        ("def thing():\n    pass\n", "which it does not take"),
        ("def thing(*, batch):\n    pass\n", "which it does not take"),
        ("class thing:\n    def __call__(self, a, b): pass\n", "which it does not take"),
        ("class thing:\n    def __call__(self, b): pass\n    def state_dict(self): pass\n", "but no load_state_dict"),
        ("class thing:\n    def __init__(self): open('/nowhere/at/all')\n", "refuses its arguments: [Errno 2]"),
    ],
)
def test_a_guests_mistakes(source: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"guest_{random.randrange(10**9)}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(HicraConfigError, match=re.escape(message)):
        SELECTORS.build(f"{name}:thing", {})


@pytest.mark.parametrize(
    ("annotation", "value", "expected"),
    [
        ("float", 1, 1.0),
        ("int", 1.0, "a whole number"),
        ("bool", 1, "true or false"),
        ("int", True, "a whole number"),
        ("float", float("nan"), "a number"),
        ("Optional[float]", None, None),
        ("float | None", "x", "a number or null"),
        ("Literal['mean', 'sum']", "sum", "sum"),
        ("Literal['mean', 'sum']", "max", "one of 'mean', 'sum'"),
        ("Optional[Literal['mean']]", "max", "one of 'mean' or null"),
        ("list[int]", [1, "x"], "a list of which each is a whole number"),
        ("tuple[int, ...]", [1, 2], (1, 2)),
        ("dict[str, float]", {"a": "x"}, "arguments by name of which each is a number"),
        ("Sequence[int]", "abc", "a list"),
        ("Annotated[float | None, Between(0, 1)]", None, None),
        ("Annotated[float | None, Between(0, 1)]", 2.0, "a number with 0 <= it <= 1"),
        ("Annotated[float, Between(0)]", float("inf"), "a number with 0 <= it"),
        ("Path", "a/b", "a/b"),
        ("NoSuchName", "x", "x"),
        ("torch.NoSuchThing", "x", "x"),
    ],
)
def test_arguments_are_checked_against_annotations(annotation: str, value: Any, expected: Any) -> None:
    names = {**vars(typing), "Between": Between, "Path": Path, "torch": torch, "__name__": "guest"}
    source = f"from __future__ import annotations\ndef thing(batch, *, it: {annotation}): ..."
    exec(compile(source, "guest", "exec"), names)
    wanted = SELECTORS.parameters_of(names["thing"])["it"].annotation
    if isinstance(expected, str) and expected != value:
        with pytest.raises(HicraConfigError, match=re.escape(f"expected {expected}")):
            check_argument("x.it", value, wanted)
    else:
        assert check_argument("x.it", value, wanted) == expected
