"""Selectors and shapers in verl: refused before a model loads, kept beside a checkpoint, checked at every step."""

from __future__ import annotations

import re
import warnings
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
from hicra_verl.extensions import SELECTORS, HicraConfigError
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
    staged.wrap_save_checkpoint(lambda self: there.append(saved.exists()))(trainer)
    assert there == [True], "verl's tracker names a checkpoint whose state is there"
    again = counting()
    again.shaping.load(saved.parent)
    assert again.shaping.shaper.call.seen == 3  # type: ignore[attr-defined]
    with pytest.raises(HicraConfigError, match=r"hicra_state.pt: holds no state, but the shaper .*Counting has one"):
        counting().shaping.load(tmp_path)
    with pytest.raises(HicraConfigError, match="holds the state of .*Counting, but the shaper stare has one"):
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
    with pytest.raises(HicraConfigError, match=re.escape(message)):
        shaper.shape(torch.ones(16, 12), data["responses"], data["response_mask"])
