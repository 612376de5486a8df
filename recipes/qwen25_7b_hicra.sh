#!/usr/bin/env bash
# Qwen2.5-7B-Base, HICRA (paper, Table 1: AIME24 18.8, AIME25 14.8, MATH500 80.2, AMC23 55.1, Minerva 38.6, Olympiad 45.9).
#
#   bash recipes/qwen25_7b_hicra.sh                                       # full scale; never run at full scale by us yet
#   MODEL_PATH=… TRAIN_FILE=… TEST_FILE=… bash recipes/qwen25_7b_hicra.sh trainer.total_training_steps=100
#
# Every word after the script's name goes to verl and overrides what stands here.

# --- knobs --------------------------------------------------------------------------------------------------------
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-7B}
TRAIN_FILE=${TRAIN_FILE:-data/hicra_rl_text.parquet}   # paper: DAPO + DeepScaleR
TEST_FILE=${TEST_FILE:-data/aime24.parquet}
NNODES=${NNODES:-2}                                    # paper: two to four nodes of 8 x A100-80G
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
OUTPUT_DIR=${OUTPUT_DIR:-checkpoints/hicra/qwen25_7b_hicra}
LOGGER=${LOGGER:-'["console","wandb"]'}
PYTHON=${PYTHON:-python}

ALPHA=${ALPHA:-0.2}                                    # paper: 0.2 in all experiments
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-2048}           # ours
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-14336}      # paper: a context of 16K, of which the prompt takes 2K (ours)

set -xeuo pipefail

ALGORITHM=(
    algorithm.adv_estimator=hicra
    +hicra=default
    algorithm.hicra.base=grpo                          # paper: GRPO with clip-higher
    algorithm.hicra.alpha="${ALPHA}"
    algorithm.norm_adv_by_std_in_grpo=True             # ours: the paper prints no division, its text says normalised
    algorithm.use_kl_in_reward=False                   # ours, as DAPO
)

DATA=(
    data.train_files="${TRAIN_FILE}"
    data.val_files="${TEST_FILE}"
    data.train_batch_size=128                          # ours; 128 x 16 responses a step
    data.max_prompt_length="${MAX_PROMPT_LENGTH}"
    data.max_response_length="${MAX_RESPONSE_LENGTH}"
    data.filter_overlong_prompts=True
    data.truncation=error
)

MODEL=(
    actor_rollout_ref.model.path="${MODEL_PATH}"
    actor_rollout_ref.model.use_remove_padding=True
    actor_rollout_ref.model.enable_gradient_checkpointing=True
)

ACTOR=(
    actor_rollout_ref.actor.optim.lr=1e-6              # ours, as DAPO
    actor_rollout_ref.actor.ppo_mini_batch_size=32     # ours
    actor_rollout_ref.actor.use_dynamic_bsz=True
    actor_rollout_ref.actor.ppo_max_token_len_per_gpu=$((MAX_PROMPT_LENGTH + MAX_RESPONSE_LENGTH))
    actor_rollout_ref.actor.clip_ratio_low=0.2         # ours, as DAPO
    actor_rollout_ref.actor.clip_ratio_high=0.28       # paper: clip-higher; the value is DAPO's
    actor_rollout_ref.actor.loss_agg_mode=token-mean   # ours, as DAPO
    actor_rollout_ref.actor.use_kl_loss=False          # ours, as DAPO
    actor_rollout_ref.actor.entropy_coeff=0            # ours
    actor_rollout_ref.actor.fsdp_config.param_offload=True
    actor_rollout_ref.actor.fsdp_config.optimizer_offload=True
)

ROLLOUT=(
    actor_rollout_ref.rollout.name=vllm
    actor_rollout_ref.rollout.n=16                     # ours, as DAPO; the paper's Pass@8 asks for at least 8
    actor_rollout_ref.rollout.temperature=1.0          # ours, as DAPO
    actor_rollout_ref.rollout.tensor_model_parallel_size=1
    actor_rollout_ref.rollout.gpu_memory_utilization=0.7
    actor_rollout_ref.rollout.log_prob_use_dynamic_bsz=True
    actor_rollout_ref.rollout.val_kwargs.temperature=0.6   # paper
    actor_rollout_ref.rollout.val_kwargs.do_sample=True
    actor_rollout_ref.rollout.val_kwargs.n=32              # paper: 32 samples for AIME
)

REWARD=(
    reward.custom_reward_function.path=pkg://hicra_verl.reward   # paper: strict matching on \boxed
)

TRAINER=(
    trainer.nnodes="${NNODES}"
    trainer.n_gpus_per_node="${GPUS_PER_NODE}"
    trainer.total_training_steps=500                   # paper: 500 steps (read off the axes)
    trainer.test_freq=20
    trainer.save_freq=20
    trainer.logger="${LOGGER}"
    trainer.project_name=hicra
    trainer.experiment_name=qwen25_7b_hicra
    trainer.default_local_dir="${OUTPUT_DIR}"
)

"${PYTHON}" -m verl.trainer.main_ppo \
    "${ALGORITHM[@]}" "${DATA[@]}" "${MODEL[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${TRAINER[@]}" "$@"
