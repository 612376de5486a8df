"""Dynamic filtering: what a step says of its groups is of all that were sampled, through verl's own replay buffers."""

from __future__ import annotations

import random
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import transfer_queue
from omegaconf import OmegaConf
from verl.trainer.ppo.v1.replay_buffer import ReplayBuffer, ReplayBufferAsync
from verl_batches import GRAMS, TABLE

from hicra_verl.config import HicraConfig
from hicra_verl.grams.matcher import GramMatcher
from hicra_verl.metrics.groups import any_correct, pass_at_powers, without_signal
from hicra_verl.training.step import StepShaper
from hicra_verl.verl_patches import active
from hicra_verl.verl_patches.settings import _filtering

SIZE, WANTED = 8, 48


class Queue:
    """TransferQueue's keys, tags and rewards; the policy is right once in ten responses, more often on some prompts."""

    def __init__(self) -> None:
        self.rng = random.Random(3)
        self.tags: dict[str, dict[str, Any]] = {}
        self.rewards: dict[str, float] = {}
        self.sampled: dict[str, dict[str, float]] = {}

    def add(self, prompts: int) -> None:
        for _ in range(prompts):
            uid = f"{len(self.sampled):032x}"
            chance = self.rng.choice([0.0, 0.0, 0.0, 0.05, 0.35])
            self.tags[uid] = {"is_prompt": True, "status": "finished", "global_steps": 1}
            self.sampled[uid] = {str(n): float(self.rng.random() < chance) for n in range(SIZE)}
            for session, score in self.sampled[uid].items():
                self.tags[f"{uid}_{session}_0"] = {}
                self.rewards[f"{uid}_{session}_0"] = score

    def kv_list(self) -> dict[str, Any]:
        return {"train": dict(self.tags)}

    def kv_clear(self, keys: list[str], partition_id: str) -> None:
        for key in keys:
            self.tags.pop(key, None)

    def kv_batch_get(self, keys: list[str], partition_id: str, select_fields: list[str]) -> dict[str, Any]:
        assert set(keys) <= set(self.tags), "their scores are gone"
        if select_fields == ["rm_scores"]:
            rows = [torch.tensor([0.0] * number + [self.rewards[key]]) for number, key in enumerate(keys)]
            return {"rm_scores": torch.nested.as_nested_tensor(rows, layout=torch.jagged)}
        return {"extra_fields": [{"reward_extra_info": {"acc": self.rewards[key]}} for key in keys]}


@pytest.mark.parametrize("metric", ["reward", "acc"])
@pytest.mark.parametrize("kind", [ReplayBuffer, ReplayBufferAsync])
def test_groups_are_measured_before_the_filter(
    kind: type[ReplayBuffer], metric: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = Queue()
    for name in ("kv_list", "kv_clear", "kv_batch_get"):
        monkeypatch.setattr(transfer_queue, name, getattr(queue, name))
    shaper = StepShaper(HicraConfig(allow_no_match=True), GRAMS, GramMatcher(GRAMS, TABLE), filtering="seen")
    monkeypatch.setattr(active, "shaper", shaper)
    buffer = kind(
        trainer_mode="sync" if kind is ReplayBuffer else "colocate_async",
        trainer_config=OmegaConf.create(),
        max_off_policy_threshold=None,
        max_off_policy_strategy="drop",
        sampler_kwargs=OmegaConf.create(),
        poll_interval=0.0,
        refill_fn=queue.add,
        filter_groups_metric=metric,
        train_batch_size=WANTED,
        gen_batch_size=1,
    )
    queue.add(WANTED)
    batch, verls = buffer.sample(global_steps=1, partition_id="train", batch_size=WANTED)
    groups, sessions = ([key.split("_")[part] for key in batch.keys] for part in (0, 1))
    scores = torch.tensor([queue.rewards[key] for key in batch.keys])
    tokens = torch.ones(len(scores), 2, dtype=torch.long)
    shaper.shape(torch.ones(tokens.shape), tokens, tokens, scores=scores, groups=groups, sessions=sessions)
    found = shaper.take_metrics(None)

    waiting = {key for key in queue.tags if "_" not in key}  # in the asynchronous modes, for the next step
    sampled = {uid: group for uid, group in queue.sampled.items() if uid not in waiting}
    kept = {uid: queue.sampled[uid] for uid in groups}
    assert len(kept) == WANTED < len(sampled)
    assert verls["training/filter_groups/evicted_samples"] > 0
    for end, of in (("", sampled), ("_kept", kept)):
        assert found[f"hicra/pass@8{end}"] == pytest.approx(pass_at_powers(of)["8"])
        assert found[f"hicra/any_correct{end}"] == any_correct(of)
        assert found[f"hicra/groups_without_signal_fraction{end}"] == without_signal(of)
    assert found["hicra/groups_kept_fraction"] == WANTED / len(sampled)
    assert found["hicra/pass@8"] < 0.5 < found["hicra/pass@8_kept"]
    assert found["hicra/groups_without_signal_fraction"] > 0.5 > found["hicra/groups_without_signal_fraction_kept"]


def test_a_group_with_a_failed_session_is_not_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    queue = Queue()
    queue.add(2)
    first, second = queue.sampled
    for name in ("kv_clear", "kv_batch_get"):
        monkeypatch.setattr(transfer_queue, name, getattr(queue, name))
    noted: list[Any] = []
    monkeypatch.setattr(active, "shaper", SimpleNamespace(note_dropped=lambda *rows: noted.append(rows)))
    buffer = object.__new__(ReplayBufferAsync)
    buffer.filter_groups_metric = "reward"
    buffer.partitions = {"train": {key: {} for key in queue.rewards}}
    for name in ("pending_keys", "running_keys", "failure_keys"):
        setattr(buffer, name, {"train": {second} if name == "failure_keys" else set()})
    buffer.finished_keys = {"train": {first}}
    buffer.prompt_global_steps, buffer._dapo_classification_cache = {"train": {}}, {"train": {}}
    buffer._clear_groups("train", {first, second})
    ((groups, sessions, scores),) = noted
    assert (set(groups), sorted(sessions)) == ({first}, list(map(str, range(SIZE))))
    assert scores == list(queue.sampled[first].values())
    assert not queue.tags


@pytest.mark.parametrize(
    ("enable", "use_v1", "sampler", "seen"),
    [
        (False, True, None, "none"),
        (True, True, None, "seen"),
        (True, True, {"path": "mine.py", "name": "Mine"}, "unseen"),
        (True, False, None, "unseen"),
    ],
)
def test_what_a_filter_drops_is_seen_in_v1s_own_buffers(enable: bool, use_v1: bool, sampler: Any, seen: str) -> None:
    trainer = {"use_v1": use_v1, "v1": {"sampler": {"custom_sampler": sampler}}}
    config = OmegaConf.create({"algorithm": {"filter_groups": {"enable": enable}}, "trainer": trainer})
    assert _filtering(config) == seen


def test_values_after_an_unseen_filter_have_names_that_say_so() -> None:
    shaper = StepShaper(HicraConfig(allow_no_match=True), GRAMS, GramMatcher(GRAMS, TABLE), filtering="unseen")
    tokens = torch.ones(2, 2, dtype=torch.long)
    shaper.shape(torch.ones(2, 2), tokens, tokens, scores=torch.tensor([1.0, 0.0]), groups=["a", "a"])
    found = shaper.take_metrics(None)
    assert found["hicra/pass@2_kept"] == found["hicra/any_correct_kept"] == 1.0
    assert not {"hicra/pass@2", "hicra/any_correct", "hicra/groups_without_signal_fraction"} & set(found)
