# What every recipe shares. A row's script sets MODEL and METHOD, sources this file, and calls `train "$@"` or
# `evaluate "$@"`. Knobs are environment variables with defaults; every word after the script's name goes to verl (or to
# `hicra eval`) and wins. RECIPE_DRY_RUN=1 prints the command instead of running it.
#
# "paper" marks what arXiv 2509.03646 prints; "ours" what it leaves open; "as DAPO" a value of ours taken from the nearest
# published setting (arXiv 2503.14476).
# shellcheck shell=bash
set -euo pipefail

SHARED=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROW="${MODEL}_${METHOD}"

# --- knobs ------------------------------------------------------------------------------------------------------------
PYTHON=${PYTHON:-python}
BACKEND=${BACKEND:-fsdp}                               # fsdp or megatron: verl's own switch
NNODES=${NNODES:-2}                                    # paper: two to four nodes of 8 x A100-80G
GPUS_PER_NODE=${GPUS_PER_NODE:-8}                      # paper
DATA_DIR=${DATA_DIR:-data}                             # where `hicra data` wrote
OUTPUT_DIR=${OUTPUT_DIR:-checkpoints/hicra/${ROW}}
LOGGER=${LOGGER:-'["console","wandb"]'}
STAGES=${STAGES:-${SHARED}/stages/paper.yaml}          # none: one stage, of MAX_RESPONSE_LENGTH
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-2048}           # ours
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-14336}      # paper: a context of 16K; the prompt takes 2K of it (ours)

# Where a model's file adds settings to the training or to the evaluation of its rows.
MODEL_SETTINGS=()
EVAL_SETTINGS=()
# shellcheck source=/dev/null
source "${SHARED}/models/${MODEL}.sh"

run() {
    if [ "${RECIPE_DRY_RUN:-0}" = 1 ]; then
        printf '%q ' "$@"
        echo
    else
        set -x
        exec "$@"
    fi
}

train() {
    ALGORITHM=(
        algorithm.norm_adv_by_std_in_grpo=True         # ours: the paper prints no division, its text says normalised
        algorithm.use_kl_in_reward=False               # as DAPO
    )

    DATA=(
        data.train_files="${TRAIN_FILE}"
        data.val_files="${TEST_FILE}"
        data.train_batch_size=128                      # ours: 128 x 16 responses a step
        data.max_prompt_length="${MAX_PROMPT_LENGTH}"
        data.filter_overlong_prompts=True
        data.truncation=error
    )

    ACTOR=(
        actor_rollout_ref.model.path="${MODEL_PATH}"
        actor_rollout_ref.model.use_remove_padding=True
        actor_rollout_ref.model.enable_gradient_checkpointing=True
        actor_rollout_ref.actor.optim.lr=1e-6          # as DAPO
        actor_rollout_ref.actor.ppo_mini_batch_size=32 # ours: four updates a step
        actor_rollout_ref.actor.use_dynamic_bsz=True
        actor_rollout_ref.actor.clip_ratio_low=0.2     # as DAPO
        actor_rollout_ref.actor.clip_ratio_high=0.28   # paper: clip-higher; the value is DAPO's
        actor_rollout_ref.actor.loss_agg_mode=token-mean   # as DAPO
        actor_rollout_ref.actor.use_kl_loss=False      # as DAPO
        actor_rollout_ref.actor.entropy_coeff=0        # as DAPO
    )

    ROLLOUT=(
        actor_rollout_ref.rollout.name=vllm
        actor_rollout_ref.rollout.n=16                 # as DAPO; the paper's Pass@8 on training rollouts asks for 8 or more
        actor_rollout_ref.rollout.temperature=1.0      # as DAPO
        actor_rollout_ref.rollout.tensor_model_parallel_size=1
        actor_rollout_ref.rollout.gpu_memory_utilization=0.7
        actor_rollout_ref.rollout.val_kwargs.do_sample=True
        actor_rollout_ref.rollout.val_kwargs.temperature=0.6   # paper
        actor_rollout_ref.rollout.val_kwargs.n="${VAL_SAMPLES}"
    )

    REWARD=(
        reward.custom_reward_function.path=pkg://hicra_verl.reward   # paper: strict matching on \boxed
    )

    TRAINER=(
        trainer.nnodes="${NNODES}"
        trainer.n_gpus_per_node="${GPUS_PER_NODE}"
        trainer.total_training_steps="${STEPS}"
        trainer.test_freq=10                           # ours
        trainer.save_freq=10                           # ours
        trainer.max_actor_ckpt_to_keep=3               # ours
        trainer.logger="${LOGGER}"
        trainer.project_name=hicra
        trainer.experiment_name="${ROW}"
        trainer.default_local_dir="${OUTPUT_DIR}"
        trainer.rollout_data_dir="${OUTPUT_DIR}/rollouts"
    )

    # shellcheck source=/dev/null
    source "${SHARED}/backends/${BACKEND}.sh"
    # shellcheck source=/dev/null
    source "${SHARED}/methods/${METHOD}.sh"

    local launcher=()
    if [ "${STAGES}" = none ]; then
        DATA+=(data.max_response_length="${MAX_RESPONSE_LENGTH}")
        ACTOR+=(actor_rollout_ref.actor.ppo_max_token_len_per_gpu=$((MAX_PROMPT_LENGTH + MAX_RESPONSE_LENGTH)))
    else
        launcher=("${PYTHON}" -m hicra_verl.cli stages "${STAGES}" --)
    fi

    run "${launcher[@]}" "${PYTHON}" -m verl.trainer.main_ppo "${ENGINE[@]}" \
        "${ALGORITHM[@]}" "${DATA[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${TRAINER[@]}" \
        "${MODEL_SETTINGS[@]}" "$@"
}

evaluate() {
    run "${PYTHON}" -m hicra_verl.cli eval "${BENCHMARKS[@]}" --model "${MODEL_PATH}" --data "${DATA_DIR}" \
        --row "${ROW}" --output "${EVAL_DIR:-results/${ROW}}" "${EVAL_SETTINGS[@]}" "$@"
}
