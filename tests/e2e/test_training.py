"""Real trainings through verl's unmodified entry points, FSDP and vLLM, on a CPU."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from reference_matcher import reference
from transformers import AutoTokenizer

import runs
from hicra_verl.analysis.recompute import Reading, measure_dumps
from hicra_verl.grams import load_grams
from hicra_verl.grams.token_bytes import token_bytes
from hicra_verl.training.token_ids import read_token_ids
from hicra_verl.training.traces import read_traces

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]
HERE = Path(__file__).parent
HICRA_METRICS = {
    "hicra/planning_fraction",
    "hicra/tokens_changed",
    "hicra/semantic_entropy_nats",
    "hicra/responses_without_planning_fraction",
    "hicra/advantage_planning_base/mean",
    "hicra/advantage_planning_shaped/mean",
    "hicra/advantage_execution_base/mean",
    "hicra/advantage_execution_shaped/mean",
    "hicra/step_time_fraction",
    "timing_s/hicra",
}
# A random model writes no phrases; these stand in any text.
GRAMS = ["=", "*", ".", ",", "'", "the plan"]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = runs.make_model(tmp_path_factory.mktemp("world"))
    grams = [{"text": text, "function": "other"} for text in GRAMS]
    (folder / "grams.json").write_text(json.dumps({"schema_version": 1, "name": "signs", "grams": grams}))
    (folder / "agents.yaml").write_text(
        "- name: two_outputs\n  _target_: agent_loops.TwoOutputs\n- name: seeded\n  _target_: agent_loops.Seeded\n"
    )
    return folder


def hicra(world: Path, *more: str) -> list[str]:
    return [
        "algorithm.adv_estimator=hicra",
        f"+algorithm.hicra.grams={world / 'grams.json'}",
        f"reward.custom_reward_function.path={HERE / 'rewards.py'}",
        *more,
    ]


IMPORTABLE = {"PYTHONPATH": os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])}


def agent_loop(world: Path, name: str) -> list[str]:
    agent = "actor_rollout_ref.rollout.agent"
    return [f"{agent}.default_agent_loop={name}", f"{agent}.agent_loop_config_path={world / 'agents.yaml'}"]


def assert_reported(rows: list[dict[str, Any]], steps: int) -> None:
    reported = [row["data"] for row in rows if "hicra/planning_fraction" in row["data"]]
    assert len(reported) >= steps
    for data in reported:
        assert HICRA_METRICS <= set(data)
        assert all(np.isfinite(data[name]) for name in HICRA_METRICS)
    assert any(data["hicra/tokens_changed"] > 0 for data in reported)


def test_the_actor_receives_the_shaped_advantage(world: Path, tmp_path: Path) -> None:
    """The default trainer and vLLM; two outputs a session. The base is verl's; the change is alpha*|A| on the mask."""
    probe = {**IMPORTABLE, "VERL_USE_EXTERNAL_MODULES": "probe", "HICRA_PROBE_FOLDER": str(tmp_path)}
    extra = hicra(
        world,
        "+algorithm.hicra.alpha=0.3",
        "+algorithm.hicra.traces=3",
        "+algorithm.hicra.token_ids=true",
        f"trainer.rollout_data_dir={tmp_path / 'rollouts'}",
        *agent_loop(world, "two_outputs"),
    )
    code, log, rows = runs.train(world, tmp_path, 2, *extra, environment=probe)
    assert code == 0, log[-3000:]
    assert_reported(rows, 2)

    base = [torch.load(path, weights_only=False) for path in sorted(tmp_path.glob("base_*.pt"))]
    mini_batches = [torch.load(path, weights_only=False) for path in sorted(tmp_path.glob("actor_*.pt"))]
    assert len(base) == 2
    assert len(mini_batches) == 4  # twice as many rows as verl counts on, so two mini-batches a step
    width = max(dump["advantages"].shape[1] for dump in base + mini_batches)

    def widened(dumps: list[dict[str, torch.Tensor]], name: str) -> torch.Tensor:
        return torch.cat([torch.nn.functional.pad(dump[name], (0, width - dump[name].shape[1])) for dump in dumps])

    names = ("advantages", "response_mask", "responses")
    actor = [{name: widened(mini_batches[i : i + 2], name) for name in names} for i in (0, 2)]
    for dump in base:
        dump.update({name: widened([dump], name) for name in names[:2]})
    tokenizer = AutoTokenizer.from_pretrained(world / "model")
    table = token_bytes(tokenizer)
    planning_tokens = 0
    for computed, received in zip(base, actor, strict=True):
        assert computed["estimator"] == "grpo"
        assert torch.equal(computed["response_mask"], received["response_mask"])
        mask = torch.tensor(
            [
                reference([table[i] for i in ids], [bool(m) for m in own], GRAMS)[0]
                for ids, own in zip(received["responses"].tolist(), received["response_mask"].tolist(), strict=True)
            ]
        )
        plain = computed["advantages"]
        assert torch.equal(received["advantages"], torch.where(mask, plain + 0.3 * plain.abs(), plain))
        planning_tokens += int((mask & (plain != 0)).sum())
        # verl's own rule for several outputs: one advantage a session, that of its last output.
        sessions: dict[str, set[float]] = {}
        for key, row, own in zip(computed["keys"], plain, computed["response_mask"], strict=True):
            sessions.setdefault(key.rsplit("_", 1)[0], set()).update(row[own.bool()].tolist())
        assert len(computed["keys"]) == 2 * len(sessions)
        assert all(len(values) == 1 for values in sessions.values())
    assert planning_tokens > 0
    # The ids that `hicra forks` reads, in the order of the dump, and the numbers that the report shows token by token.
    for step, received in enumerate(actor, 1):
        kept = read_token_ids(tmp_path / "checkpoints" / "hicra_tokens" / f"{step}.parquet")
        dump = [json.loads(line) for line in (tmp_path / "rollouts" / f"{step}.jsonl").read_text().splitlines()]
        assert [one.uid for one in kept] == [row["uid"] for row in dump if not row["uid"].startswith("pad")]
        assert [tokenizer.decode(one.response, skip_special_tokens=True) for one in kept] == [
            row["output"] for row in dump if not row["uid"].startswith("pad")
        ]
        assert all(tokenizer.decode(one.prompt, skip_special_tokens=True) for one in kept)
        rows_of = zip(received["responses"], received["response_mask"].bool(), strict=True)
        trained = sorted(ids[own].tolist() for ids, own in rows_of if own.any())
        assert trained == sorted([i for i, own in zip(one.response, one.own, strict=True) if own] for one in kept)
        traces = read_traces(tmp_path / "checkpoints" / "hicra_traces" / f"{step}.jsonl")
        assert len(traces) == 3
        for trace in traces:
            assert max(map(abs, trace["probability_difference"])) < 0.01
            pairs = zip(trace["base_advantage"], trace["advantage"], trace["function"], strict=True)
            assert all(
                shaped == pytest.approx(base + 0.3 * abs(base) * (kind is not None), abs=2e-5)
                for base, shaped, kind in pairs
            )


@pytest.mark.trainers
@pytest.mark.parametrize("what", ["the legacy trainer", "alpha 0 trains like grpo, bit for bit"])
def test_legacy(world: Path, tmp_path: Path, what: str) -> None:
    legacy = "trainer.use_v1=false"  # verl's V1 trainer gives no two runs alike
    if what == "the legacy trainer":
        code, log, rows = runs.train(world, tmp_path, 2, *hicra(world, legacy))
        assert code == 0, log[-3000:]
        assert_reported(rows, 2)
        return
    reward = f"reward.custom_reward_function.path={HERE / 'rewards.py'}"
    twins = {
        "hicra": hicra(world, legacy, "+algorithm.hicra.alpha=0.0"),
        "grpo": ["algorithm.adv_estimator=grpo", legacy, reward],
    }
    logged: dict[str, list[dict[str, float]]] = {}
    for name, extra in twins.items():
        seeded = [*extra, *agent_loop(world, "seeded")]
        code, log, rows = runs.train(world, tmp_path / name, 2, *seeded, environment=IMPORTABLE)
        assert code == 0, log[-3000:]
        kept = (
            "actor/pg_loss",
            "actor/grad_norm",
            "critic/score/mean",
            "critic/advantages/max",
            "response_length/mean",
        )
        logged[name] = [{key: row["data"][key] for key in kept} for row in rows]
    assert logged["hicra"] == logged["grpo"]
    assert all(step["actor/grad_norm"] > 0 for step in logged["grpo"])


DISAGGREGATED = ["+machine=cpu_disaggregated"]
SEPARATE = [
    *DISAGGREGATED,
    "actor_rollout_ref.hybrid_engine=False",
    "rollout.nnodes=1",
    "rollout.n_gpus_per_node=1",
]
TRAINERS = {
    "colocate_async": ("verl.trainer.main_ppo", ["trainer.v1.trainer_mode=colocate_async"]),
    "separate_async": (
        "verl.trainer.main_ppo",
        [*DISAGGREGATED, "trainer.v1.trainer_mode=separate_async", "trainer.v1.separate_async.parameter_sync_step=1"],
    ),
    "one_step_off_policy": (
        "verl.experimental.one_step_off_policy.main_ppo",
        # Its configuration looks for verl's own in the working directory.
        [*SEPARATE, "hydra.searchpath=[pkg://verl.trainer.config]", "critic.strategy=fsdp2"],
    ),
    "fully_async_policy": (
        "verl.experimental.fully_async_policy.fully_async_main",
        [
            *SEPARATE,
            "rollout.total_rollout_steps=16",
            "async_training.trigger_parameter_sync_step=1",
            "data.train_batch_size=0",
            "data.gen_batch_size=1",
        ],
    ),
}


@pytest.mark.trainers
@pytest.mark.parametrize("trainer", TRAINERS)
def test_trainer(trainer: str, world: Path, tmp_path: Path) -> None:
    module, extra = TRAINERS[trainer]
    code, log, rows = runs.train(world, tmp_path, 2, *hicra(world, *extra), module=module)
    assert code == 0, log[-3000:]
    assert_reported(rows, 2)


@pytest.mark.trainers
def test_a_set_that_matches_nothing_ends_the_run(world: Path, tmp_path: Path) -> None:
    grams = [{"text": "xyzzy plugh", "function": "other"}]
    (tmp_path / "other.json").write_text(json.dumps({"schema_version": 1, "name": "other", "grams": grams}))
    settings = ["algorithm.adv_estimator=hicra", f"+algorithm.hicra.grams={tmp_path / 'other.json'}", *runs.NO_FILES]
    code, log, rows = runs.train(world, tmp_path, 2, *settings)
    loaded = load_grams(tmp_path / "other.json")
    assert code not in (0, -1)
    assert rows == []  # no step was done
    assert f"[hicra] other: 1 grams (sha256 {loaded.sha256[:12]})" in log
    assert "the gram set other" in log
    assert "matches nothing in the first batch" in log
    assert "algorithm.hicra.allow_no_match=true" in log


@pytest.mark.trainers
def test_measures_of_another_estimator_go_on_after_a_resume(world: Path, tmp_path: Path) -> None:
    """GRPO, measured only; stopped after two steps and resumed: one curve, equal to what its dumps give."""
    settings = [
        "algorithm.adv_estimator=grpo",
        "+algorithm.hicra.measure_only=true",
        f"+algorithm.hicra.grams={world / 'grams.json'}",
        f"reward.custom_reward_function.path={HERE / 'rewards.py'}",
        "trainer.resume_mode=auto",
        "trainer.save_freq=1",
        f"trainer.rollout_data_dir={tmp_path / 'rollouts'}",
    ]
    logged: dict[int, dict[str, float]] = {}
    for steps in (2, 4):
        code, log, rows = runs.train(world, tmp_path, steps, *settings)
        assert code == 0, log[-3000:]
        logged.update({row["step"]: row["data"] for row in rows})
    assert sorted(logged) == [1, 2, 3, 4]
    initial = json.loads((tmp_path / "checkpoints" / "hicra_initial.json").read_text())["values"]
    for name in ("perplexity_planning", "perplexity_execution"):
        for step, data in logged.items():
            assert data[f"hicra/{name}_relative"] == pytest.approx(data[f"hicra/{name}"] / initial[name]), step
        assert logged[1][f"hicra/{name}_relative"] == 1.0
        assert logged[3][f"hicra/{name}_relative"] != 1.0  # the resumed run's first step is not a new beginning
    dumps = {step: tmp_path / "rollouts" / f"{step}.jsonl" for step in logged}
    recomputed = measure_dumps(dumps, Reading(load_grams(world / "grams.json")))
    assert not any("tokens_changed" in name for name in logged[1])
    for step, found in recomputed.items():
        for name, value in found.metrics.items():
            assert logged[step][f"hicra/{name}"] == pytest.approx(value, abs=1e-6), (step, name)
