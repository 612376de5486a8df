"""Selectors and shapers in verl: refused before a model loads, kept beside a checkpoint, checked at every step."""

from __future__ import annotations

import re
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import verl.trainer.ppo.v1.trainer_base  # noqa: F401  (imports every module that holds a patch)
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from verl.trainer.ppo import utils as ppo_utils
from verl_batches import GRAMS, TABLE, batch

from hicra_verl.config import HicraConfig
from hicra_verl.errors import HicraError
from hicra_verl.extensions import SELECTORS, SHAPERS, HicraConfigError
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.training.step import StepShaper
from hicra_verl.verl_patches import active, staged
from hicra_verl.verl_patches.settings import checkpoint_resumed, read_settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"mesure_only": True}, "mesure_only: no such setting; did you mean 'measure_only'"),
        ({"measure_only": "yes"}, "measure_only='yes': expected true or false"),
    ],
)
def test_a_misspelt_word_stops_another_estimators_run(settings: dict[str, Any], message: str) -> None:
    config = OmegaConf.create({"algorithm": {"adv_estimator": "grpo", "hicra": settings}, "critic": {"enable": None}})
    with pytest.raises(HicraConfigError, match=message):
        ppo_utils.need_critic(config)


@pytest.mark.parametrize(
    ("settings", "trainer", "message"),
    [
        ({"selector": "high_entropy"}, {"use_v1": False}, "high_entropy needs trainer.use_v1=true"),
        ({"tokens": "high_entropy"}, {"use_v1": False}, "high_entropy needs trainer.use_v1=true"),
        ({"shaping": "gtpo"}, {"use_v1": False}, "gtpo needs trainer.use_v1=true"),
        ({"shaping": "stare"}, {"use_v1": False}, "stare needs trainer.use_v1=true"),
        ({"selector": "union", "selector_args": {"of": ["grams", "high_entropy"]}}, {}, "union needs trainer.use_v1"),
        ({"selector": "grms"}, {"use_v1": True}, "selector='grms': did you mean 'grams'"),
        ({"shaping": "nowhere:at_all"}, {"use_v1": True}, "cannot be imported"),
        ({"shaping_args": {"alpha": 0.1}}, {"use_v1": True}, "set algorithm.hicra.alpha instead"),
        ({"selector_args": "0.2"}, {"use_v1": True}, "selector_args='0.2': expected arguments by name"),
    ],
)
def test_selectors_and_shapers_are_refused_before_any_model_loads(
    settings: dict[str, Any], trainer: dict[str, Any], message: str
) -> None:
    config = {"algorithm": {"adv_estimator": "hicra", "hicra": settings}, "critic": {"enable": None}}
    with pytest.raises(HicraConfigError, match=re.escape(message)):
        ppo_utils.need_critic(OmegaConf.create({**config, "trainer": trainer}))


def test_hydra_takes_the_group_and_both_spellings() -> None:
    """verl's own configuration, through Hydra, as a person types it."""
    for words, selector, arguments in (
        (["algorithm.hicra.selector=low_probability", "algorithm.hicra.selector_args={fraction: 0.1}"], None, None),
        (["algorithm.hicra.tokens=high_entropy", "algorithm.hicra.entropy_share=0.2"], "high_entropy", 0.2),
    ):
        with initialize_config_module("verl.trainer.config", version_base=None):
            config = compose("ppo_trainer", ["algorithm.adv_estimator=hicra", "+hicra=default", *words])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            settings = read_settings(config.algorithm)
        assert settings.selector == (selector or "low_probability")
        assert settings.selector_args == {"fraction": arguments or 0.1}
        renamed = [str(warning.message) for warning in caught if "old name still works" in str(warning.message)]
        assert len(renamed) == (2 if selector else 0)


class Counting:
    """A shaper with a state."""

    def __init__(self) -> None:
        self.seen = torch.zeros(1)

    def __call__(self, advantages: torch.Tensor, mask: torch.Tensor, batch: Any) -> torch.Tensor:
        self.seen += 1
        return advantages * self.seen

    def metrics(self) -> dict[str, float]:
        return {"seen": float(self.seen)}

    def state_dict(self) -> dict[str, torch.Tensor]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, torch.Tensor]) -> None:
        self.seen = state["seen"]


def counting(**settings: Any) -> StepShaper:
    monkey = {"shaping": f"{__name__}:Counting", "allow_no_match": True, **settings}
    return StepShaper(HicraConfig(**monkey), GRAMS, GramMatcher(GRAMS, TABLE))


def test_a_state_is_saved_before_the_checkpoint_and_taken_up_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shaper = counting()
    monkeypatch.setattr(active, "shaper", shaper)
    data = batch().batch
    for _ in range(3):
        shaper.shape(torch.ones(16, 12), data["responses"], data["response_mask"])
    assert shaper.take_metrics(None)["hicra/shaper/seen"] == 3.0
    trainer = SimpleNamespace(
        config=OmegaConf.create({"trainer": {"default_local_dir": str(tmp_path)}}), global_steps=7
    )
    there: list[bool] = []
    saved = tmp_path / "global_step_7" / "hicra_state.pt"
    staged.save_checkpoint(lambda self: there.append(saved.exists()), trainer)
    assert there == [True], "verl's tracker names a checkpoint whose state is there"
    again = counting()
    again.shaping.load(saved.parent)
    assert again.shaping.shaper.call.seen == 3  # type: ignore[attr-defined]
    with pytest.raises(HicraError, match=r"hicra_state.pt: holds no state, but the shaper .*Counting has one"):
        counting().shaping.load(tmp_path)
    with pytest.raises(HicraError, match="holds the state of .*Counting, but the shaper stare has one"):
        counting(shaping="stare").shaping.load(saved.parent)
    counting(shaping="hicra").shaping.load(tmp_path / "nowhere")


def test_a_checkpoint_to_go_on_from(tmp_path: Path) -> None:
    def resumed(**trainer: Any) -> Path | None:
        return checkpoint_resumed(OmegaConf.create({"resume_mode": "auto", **trainer}), tmp_path)

    assert resumed() is None
    (tmp_path / "global_step_3").mkdir()
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("3")
    assert resumed() == tmp_path / "global_step_3"
    assert resumed(resume_mode="disable") is None
    (tmp_path / "latest_checkpointed_iteration.txt").write_text("4")
    assert resumed() is None, "verl begins anew where the folder is missing"
    assert resumed(resume_mode="resume_path", resume_from_path=None) is None
    assert resumed(resume_mode="resume_path", resume_from_path="/x/global_step_9") == Path("/x/global_step_9")


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (torch.ones(2, 2, dtype=torch.bool), r"returned (2, 2), expected a tensor of shape (B, T) = (16, 12)"),
        (None, "returned NoneType"),
        (torch.full((16, 12), 1.5), "returned weights outside 0 to 1"),
        (torch.full((16, 12), float("nan")), "returned weights outside 0 to 1, or NaN"),
        (torch.ones(16, 12, dtype=torch.long), "expected bool, or weights from 0 to 1"),
        (torch.zeros(16, 12, dtype=torch.bool), "selects no token of the first batch"),
    ],
)
def test_what_a_selector_may_return(monkeypatch: pytest.MonkeyPatch, returned: Any, message: str) -> None:
    monkeypatch.setitem(SELECTORS.shipped, "odd", lambda batch: returned)
    shaper = StepShaper(HicraConfig(selector="odd"), GRAMS, GramMatcher(GRAMS, TABLE))
    data = batch().batch
    with pytest.raises(HicraError, match=re.escape(message)):
        shaper.shape(torch.ones(16, 12), data["responses"], data["response_mask"])


class InPlace:
    """What a guest should not do."""

    def __call__(self, advantages: torch.Tensor, mask: torch.Tensor, batch: Any) -> torch.Tensor:
        batch.response_mask[:] = False
        advantages += mask
        return advantages


def test_a_guest_that_works_in_place_spoils_nothing() -> None:
    shaper = StepShaper(HicraConfig(shaping=f"{__name__}:InPlace"), GRAMS, GramMatcher(GRAMS, TABLE))
    data, base = batch().batch, torch.ones(16, 12)
    shaped = shaper.shape(base, data["responses"], data["response_mask"])
    assert torch.equal(base, torch.ones(16, 12)), "verl uses the tensor as the returns, too"
    assert shaper.take_metrics(None)["hicra/tokens_changed"] == float((shaped != 1).sum()) > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
@pytest.mark.parametrize("shaping", ["hicra", "scale", "centred", "none"])
def test_the_dtype_stays(shaping: str, dtype: torch.dtype) -> None:
    shaper = StepShaper(HicraConfig(shaping=shaping, selector="first_tokens"), GRAMS, GramMatcher(GRAMS, TABLE))
    data = batch().batch
    shaped = shaper.shape(torch.ones(16, 12, dtype=dtype), data["responses"], data["response_mask"])
    assert shaped.dtype == dtype


class Unreadable(Counting):
    """A state that torch would not read back."""

    def state_dict(self) -> dict[str, Any]:
        return {"seen": Counter("seen"), "path": Path("x")}


def test_a_state_that_cannot_be_read_back_is_refused_at_the_start() -> None:
    with pytest.raises(HicraError, match="cannot be read back .*a state holds numbers, texts and tensors"):
        counting(shaping=f"{__name__}:Unreadable")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut", b"no state at all"])
def test_a_spoilt_state_is_named(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "hicra_state.pt").write_bytes(content)
    with pytest.raises(HicraError, match="hicra_state.pt: cannot be read back"):
        counting().shaping.load(tmp_path)


instance = Counting()


def test_an_instance_and_the_parts_of_a_union_keep_their_state(tmp_path: Path) -> None:
    assert SHAPERS.build(f"{__name__}:instance", {}).stateful
    part = {"selector": f"{__name__}:Seeing", "args": {"count": 2}}
    arguments = {"of": ["grams", part]}
    shaper = StepShaper(
        HicraConfig(selector="union", selector_args=arguments, allow_no_match=True), GRAMS, GramMatcher(GRAMS, TABLE)
    )
    data = batch().batch
    shaper.shape(torch.ones(16, 12), data["responses"], data["response_mask"])
    assert shaper.take_metrics(None)["hicra/selector/1/seen"] == 1
    shaper.shaping.save(tmp_path)
    again = StepShaper(HicraConfig(selector="union", selector_args=arguments), GRAMS, GramMatcher(GRAMS, TABLE))
    again.shaping.load(tmp_path)
    assert again.shaping.selector.metrics() == {"1/seen": 1.0}


class Seeing:
    """A selector with a state."""

    def __init__(self, count: int) -> None:
        self.count, self.seen = count, 0

    def __call__(self, batch: Any) -> torch.Tensor:
        self.seen += 1
        return torch.as_tensor(batch.response_mask & (batch.response_mask.cumsum(dim=1) <= self.count))

    def metrics(self) -> dict[str, Any]:
        return {"seen": torch.tensor([self.seen]), "nothing": None, "nan": float("nan")}

    def state_dict(self) -> dict[str, int]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]


def test_measuring_only_takes_no_shaping() -> None:
    with pytest.raises(HicraConfigError, match="measure_only=true shapes nothing"):
        HicraConfig(measure_only=True, shaping="gtpo")


def test_the_disaggregated_trainers_are_no_v1() -> None:
    """They inherit `trainer.use_v1: true`, and save their checkpoints by other code."""
    config = {
        "algorithm": {"adv_estimator": "hicra", "hicra": {"shaping": f"{__name__}:Counting"}},
        "critic": {"enable": None},
        "trainer": {"use_v1": True},
        "rollout": {"nnodes": 1},
    }
    with pytest.raises(HicraConfigError, match="needs trainer.use_v1=true"):
        ppo_utils.need_critic(OmegaConf.create(config))


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"entropy_share": 0.2, "entropy_fraction": 0.3}, ("", 0.2, {})),
        ({"tokens": "high_entropy", "entropy_fraction": 0.2}, ("high_entropy", 0.2, {"fraction": 0.2})),
        ({"tokens": "high_entropy"}, ("high_entropy", 0.3, {"fraction": 0.3})),
        ({"tokens": "planning", "entropy_share": 0.4}, ("grams", 0.4, {})),
    ],
)
def test_old_spellings_mean_what_they_meant(settings: dict[str, Any], expected: tuple[str, float, Any]) -> None:
    with pytest.warns(FutureWarning, match="the old name still works"):
        config = HicraConfig.from_mapping(settings)
    assert (config.selector or "", config.entropy_fraction, config.selector_args) == expected


def test_two_spellings_that_differ_are_refused() -> None:
    with pytest.warns(FutureWarning), pytest.raises(HicraConfigError, match="say different things; leave out tokens"):
        HicraConfig.from_mapping({"tokens": "high_entropy", "selector": "grams"})
