"""The contract with verl: the patches are where we think, and the base advantage is verl's, bit for bit."""

from __future__ import annotations

import re
import subprocess
import sys
import types
from typing import Any

import pytest
import torch
import verl.trainer.ppo.v1.trainer_base  # noqa: F401  (imports every module that holds a patch)
from omegaconf import OmegaConf
from verl.trainer.ppo import core_algos, ray_trainer
from verl.trainer.ppo import utils as ppo_utils
from verl_batches import GRAMS, TABLE, batch

from hicra_verl.config import HicraConfig
from hicra_verl.extensions import HicraConfigError
from hicra_verl.grams import Gram, GramSet
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.training.step import StepShaper
from hicra_verl.verl_patches import active, patches
from hicra_verl.verl_patches.settings import need_critic

BASES = [
    "grpo",
    "rloo",
    "reinforce_plus_plus",
    "gdpo",
    "gae",
    "grpo_passk",
    "opo",
    "gpg",
    "reinforce_plus_plus_baseline",
]


@pytest.mark.parametrize("patch", patches.PATCHES, ids=lambda patch: patch.name)
def test_patch_is_where_we_think(patch: patches.Patch) -> None:
    patches.find(patch, sys.modules[patch.module])
    assert patch is patches.REGISTRY or patches.is_wrapped(patch)
    assert patches.problems == {}


def test_a_moved_patch_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    moved = types.ModuleType("verl.moved")
    patch = patches.Patch("verl.moved", "need_critic", ("config",), "")
    monkeypatch.setitem(patches.problems, "need_critic", "")  # taken out again at the end
    patches.wrap(patch, need_critic, moved)
    assert patches.problems == {"need_critic": "verl.moved.need_critic does not exist"}
    moved.need_critic = lambda settings: True
    patches.wrap(patch, need_critic, moved)
    assert "takes ('settings',), expected to begin with ('config',)" in patches.problems["need_critic"]
    with pytest.raises(RuntimeError, match="this verl differs.*hicra doctor"):
        ppo_utils.need_critic(OmegaConf.create({"algorithm": {"adv_estimator": "hicra"}, "critic": {"enable": None}}))


def algorithm(base: str, **more: Any) -> Any:
    settings = {"adv_estimator": "hicra", "gamma": 1.0, "lam": 1.0, "use_pf_ppo": False, "hicra": {"base": base}}
    return OmegaConf.create({**settings, "gdpo_reward_keys": ["score"], **more})


def compute(monkeypatch: pytest.MonkeyPatch, base: str, alpha: float, norm: bool = True, table: Any = None) -> Any:
    """(base advantages, HICRA's advantages, the planning mask)."""
    settings = HicraConfig(alpha=alpha, base=base, allow_no_match=True)
    shaper = StepShaper(settings, GRAMS, GramMatcher(GRAMS, table or TABLE))
    monkeypatch.setattr(active, "shaper", shaper)
    plain = ray_trainer.compute_advantage(batch(), base, norm_adv_by_std_in_grpo=norm, config=algorithm(base))
    ours = ray_trainer.compute_advantage(batch(), "hicra", norm_adv_by_std_in_grpo=norm, config=algorithm(base))
    mask = shaper.matcher.match(batch().batch["responses"].numpy(), batch().batch["response_mask"].numpy())
    assert torch.equal(plain.batch["returns"], ours.batch["returns"])
    return plain.batch["advantages"], ours.batch["advantages"], torch.from_numpy(mask.planning_mask)


@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("base", BASES)
def test_alpha_zero_and_no_planning_token_are_the_base(monkeypatch: pytest.MonkeyPatch, base: str, norm: bool) -> None:
    plain, ours, mask = compute(monkeypatch, base, 0.0, norm)
    assert mask.any()
    assert torch.equal(plain, ours)
    plain, ours, mask = compute(monkeypatch, base, 0.2, norm, table=[b" x"] * len(TABLE))
    assert not mask.any()
    assert torch.equal(plain, ours)


@pytest.mark.parametrize("base", BASES)
def test_shaped_exactly_where_the_mask_is(monkeypatch: pytest.MonkeyPatch, base: str) -> None:
    plain, ours, mask = compute(monkeypatch, base, 0.2)
    assert torch.equal(ours, torch.where(mask, plain + 0.2 * plain.abs(), plain))
    assert not torch.equal(ours, plain)


def test_the_base_sees_its_own_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """gae needs a critic, and verl asks by name."""
    config = OmegaConf.create({"algorithm": algorithm("gae"), "critic": {"enable": None}})
    assert ppo_utils.need_critic(config) is True
    assert config.algorithm.adv_estimator == "hicra"
    assert ppo_utils.need_critic(OmegaConf.merge(config, {"algorithm": {"hicra": {"base": "grpo"}}})) is False


def test_settings_without_the_estimator_are_pointed_out() -> None:
    config = OmegaConf.create(
        {"algorithm": {**algorithm("grpo"), "adv_estimator": "rloo"}, "critic": {"enable": False}}
    )
    with pytest.warns(UserWarning, match="adv_estimator=rloo: HICRA is off"):
        assert ppo_utils.need_critic(config) is False


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": "grop"}, "algorithm.hicra.base='grop': did you mean 'grpo'"),
        ({"base": "remax"}, "greedy baseline"),
        ({"alhpa": 0.1}, "did you mean 'alpha'"),
        ({"alpha": -1}, "0 <= alpha < 1"),
    ],
)
def test_wrong_settings_stop_before_any_model_loads(settings: dict[str, Any], message: str) -> None:
    config = OmegaConf.create({"algorithm": {"adv_estimator": "hicra", "hicra": settings}, "critic": {"enable": None}})
    with pytest.raises(HicraConfigError, match=message):
        ppo_utils.need_critic(config)


def test_missing_gram_set_stops_before_any_model_loads() -> None:
    config = OmegaConf.create(
        {"algorithm": {"adv_estimator": "hicra", "hicra": {"grams": "papr"}}, "critic": {"enable": None}}
    )
    with pytest.raises(ValueError, match="did you mean 'paper'"):
        ppo_utils.need_critic(config)


def test_the_registered_estimator_never_falls_back() -> None:
    estimator = core_algos.get_adv_estimator_fn("hicra")
    with pytest.raises(RuntimeError, match="without a planning mask.*never falls back"):
        estimator(token_level_rewards=torch.zeros(1, 1), response_mask=torch.ones(1, 1), config=None)


def test_an_unprepared_process_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(active, "shaper", None)
    with pytest.raises(RuntimeError, match="not prepared in the process"):
        ray_trainer.compute_advantage(batch(), "hicra", config=algorithm("grpo"))


def test_a_wrong_key_stops_the_real_command() -> None:
    """Through Hydra and verl's own entry point, without any model."""
    command = [sys.executable, "-m", "verl.trainer.main_ppo", "algorithm.adv_estimator=hicra", "+machine=cpu"]
    batches = "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=1"
    result = subprocess.run([*command, batches, "+algorithm.hicra.alhpa=0.3"], capture_output=True, text=True)
    assert result.returncode != 0
    assert "did you mean 'alpha'" in result.stderr
    assert "Started a local Ray instance" not in result.stderr


def test_hydra_group_makes_settings_overridable_without_plus() -> None:
    command = [
        sys.executable,
        "-m",
        "verl.trainer.main_ppo",
        "+hicra=default",
        "algorithm.hicra.alpha=0.3",
        "--cfg",
        "job",
    ]
    result = subprocess.run(command, capture_output=True, text=True)
    assert re.search(r"hicra:\n\s+alpha: 0.3\n\s+base: grpo\n\s+grams: paper", result.stdout), result.stderr


def test_functions_of_verl_still_pickle_by_reference() -> None:
    from ray import cloudpickle

    assert cloudpickle.loads(cloudpickle.dumps(ppo_utils.need_critic)) is ppo_utils.need_critic
    assert len(cloudpickle.dumps(ray_trainer.compute_advantage)) < 200


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer": {"use_v1": False, "save_freq": 10}}, "a staged run needs trainer.use_v1=true"),
        ({"trainer": {"use_v1": True, "save_freq": -1}}, "a staged run needs trainer.save_freq above 0"),
    ],
)
def test_a_staged_run_that_could_not_hand_over(settings: dict[str, Any], message: str) -> None:
    config = OmegaConf.create({"algorithm": {"adv_estimator": "grpo"}, "hicra_stages": {"plan": "p", "state": "s"}})
    with pytest.raises(RuntimeError, match=message):
        ppo_utils.need_critic(OmegaConf.merge(config, settings))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"trainer": {"use_v1": False}}, "trainer.use_v1=true"),
        (
            {"trainer": {"use_v1": True}, "algorithm": {"rollout_correction": {"bypass_mode": True}}},
            "bypass_mode=false",
        ),
    ],
)
def test_high_entropy_tokens_need_the_entropy(settings: dict[str, Any], message: str) -> None:
    algorithm = {"adv_estimator": "hicra", "hicra": {"tokens": "high_entropy"}}
    with pytest.raises(ValueError, match=message):
        ppo_utils.need_critic(OmegaConf.merge(OmegaConf.create({"algorithm": algorithm}), settings))


def test_measuring_changes_nothing_and_happens_once(monkeypatch: pytest.MonkeyPatch) -> None:
    grams = GramSet("test", (Gram("so", "other", ""),))
    shaper = StepShaper(HicraConfig(measure_only=True), grams, GramMatcher(grams, [b"so", b"x"] * 50))
    monkeypatch.setattr(active, "shaper", shaper)
    data = batch()
    shaped = ray_trainer.compute_advantage(data, "grpo", config=algorithm("grpo")).batch["advantages"]
    monkeypatch.setattr(active, "shaper", None)
    plain = ray_trainer.compute_advantage(batch(), "grpo", config=algorithm("grpo")).batch["advantages"]
    assert torch.equal(shaped, plain)
    reported = shaper.take_metrics(1.0)
    assert "hicra/planning_fraction" in reported
    assert "hicra/tokens_changed" not in reported
    # Inside V1's own computation the batch lacks its responses: V1 is measured where it has them.
    monkeypatch.setattr(active, "shaper", shaper)
    with active.base_in_place(OmegaConf.create({"adv_estimator": "grpo"}), "grpo"):
        ray_trainer.compute_advantage(batch(), "grpo", config=algorithm("grpo"))
    assert shaper.take_metrics(1.0) == {}


def test_measure_only_under_hicra_is_refused() -> None:
    config = OmegaConf.create({"algorithm": {"adv_estimator": "hicra", "hicra": {"measure_only": True}}})
    with pytest.raises(ValueError, match="name that one as algorithm.adv_estimator"):
        ppo_utils.need_critic(config)
