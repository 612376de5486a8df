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

fail() {
    echo "error: $*" >&2
    exit 2
}
[[ ${MODEL} =~ ^[A-Za-z0-9_]+$ && -f ${SHARED}/models/${MODEL}.sh ]] ||
    fail "MODEL=${MODEL}: no such model; one has a file in ${SHARED}/models, such as qwen25_7b.sh"
[[ ${METHOD} =~ ^[A-Za-z0-9_]+$ ]] || fail "METHOD=${METHOD}: expected letters, digits and _"

# A path as every node can read it: absolute, from the caller's folder. Addresses such as hdfs://… stay.
absolute() {
    case $1 in
        /* | *://*) printf '%s' "$1" ;;
        \~ | \~/*) printf '%s' "${HOME}${1#\~}" ;;
        *) printf '%s' "${PWD}/${1#./}" ;;
    esac
}

# The same for a file, or for a list of files in Hydra's words: ['one.parquet','two.parquet'].
absolute_files() {
    if [[ $1 != \[*\] ]]; then
        absolute "$1"
        return
    fi
    local words=() word found=()
    IFS=, read -ra words <<<"${1:1:${#1}-2}"
    for word in "${words[@]}"; do
        read -r word <<<"${word}"                      # without the spaces around it
        word=${word#[\"\']}
        found+=("'$(absolute "${word%[\"\']}")'")
    done
    (IFS=, && printf '[%s]' "${found[*]}")
}

# --- knobs ------------------------------------------------------------------------------------------------------------
PYTHON=${PYTHON:-python}
BACKEND=${BACKEND:-fsdp}                               # fsdp or megatron: verl's own switch
ROLLOUT_ENGINE=${ROLLOUT_ENGINE:-vllm}                 # vllm or sglang
SEED=${SEED:-}                                         # a number: another seed of the same row, under a name of its own
RUN_NAME=${ROW}${SEED:+-seed${SEED}}
DATA_DIR=$(absolute "${DATA_DIR:-data}")               # where `hicra data` wrote
OUTPUT_DIR=$(absolute "${OUTPUT_DIR:-checkpoints/hicra/${RUN_NAME}}")
LOGGER=${LOGGER:-'["console","wandb","file"]'}         # the figures are drawn from what `file` writes

# Where a model's file adds settings to the training or to the evaluation of its rows. It comes before the other knobs,
# so that it can give them another default.
MODEL_SETTINGS=()
EVAL_SETTINGS=()
# shellcheck source=/dev/null
source "${SHARED}/models/${MODEL}.sh"
[ ! -d "${MODEL_PATH}" ] || MODEL_PATH=$(absolute "${MODEL_PATH}")   # otherwise a name on the hub
TRAIN_FILE=$(absolute_files "${TRAIN_FILE}")
TEST_FILE=$(absolute_files "${TEST_FILE}")

NNODES=${NNODES:-2}                                    # paper: two to four nodes of 8 x A100-80G
GPUS_PER_NODE=${GPUS_PER_NODE:-8}                      # paper
STAGES=${STAGES:-${SHARED}/stages/paper.yaml}          # none: one stage, of MAX_RESPONSE_LENGTH
STOP=${STOP:-0}                                        # 1: the plan's rule on falling accuracy may end the run early
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-2048}           # ours
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-14336}      # paper: a context of 16K; the prompt takes 2K of it (ours)

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
        data.filter_overlong_prompts=True              # ours: a prompt that does not fit is left out, not cut
        data.filter_overlong_prompts_workers=16        # ours; verl takes no more than there are cores
        data.truncation=error                          # ours: none is left to cut
    )

    ACTOR=(
        actor_rollout_ref.model.path="${MODEL_PATH}"
        actor_rollout_ref.model.use_remove_padding=True                # ours: faster, the same values
        actor_rollout_ref.model.enable_gradient_checkpointing=True     # verl's default: memory
        actor_rollout_ref.actor.optim.lr=1e-6          # as DAPO
        actor_rollout_ref.actor.optim.lr_warmup_steps=10   # as DAPO
        actor_rollout_ref.actor.optim.weight_decay=0.1     # as DAPO
        actor_rollout_ref.actor.optim.clip_grad=1.0    # as DAPO
        actor_rollout_ref.actor.ppo_mini_batch_size=32 # ours: four updates a step
        actor_rollout_ref.actor.use_dynamic_bsz=True   # as DAPO
        actor_rollout_ref.actor.clip_ratio_low=0.2     # as DAPO
        actor_rollout_ref.actor.clip_ratio_high=0.28   # paper: clip-higher; the value is DAPO's
        actor_rollout_ref.actor.loss_agg_mode=token-mean   # as DAPO
        actor_rollout_ref.actor.use_kl_loss=False      # as DAPO
        actor_rollout_ref.actor.entropy_coeff=0        # as DAPO
    )

    ROLLOUT=(
        actor_rollout_ref.rollout.name="${ROLLOUT_ENGINE}"
        actor_rollout_ref.rollout.n=16                 # as DAPO; the paper's Pass@8 on training rollouts asks for 8 or more
        actor_rollout_ref.rollout.temperature=1.0      # as DAPO
        actor_rollout_ref.rollout.top_p=1.0            # as DAPO
        actor_rollout_ref.rollout.tensor_model_parallel_size=1     # ours: the models fit one GPU
        actor_rollout_ref.rollout.gpu_memory_utilization=0.7       # ours
        actor_rollout_ref.rollout.val_kwargs.do_sample=True        # paper: sampled Pass@1
        actor_rollout_ref.rollout.val_kwargs.temperature=0.6       # paper
        actor_rollout_ref.rollout.val_kwargs.top_p=0.95            # ours: as `hicra eval`
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
        trainer.project_name=hicra                     # ours
        trainer.experiment_name="${RUN_NAME}"
        trainer.default_local_dir="${OUTPUT_DIR}"
        trainer.rollout_data_dir="${OUTPUT_DIR}/rollouts"          # ours: where `hicra dynamics` and `hicra report` look
        trainer.validation_data_dir="${OUTPUT_DIR}/validation"     # ours: the same
    )

    # verl's own seeds are fixed too (the order of the data, the mini-batches, the engine); this makes other ones.
    if [ -n "${SEED}" ]; then
        DATA+=(data.seed="${SEED}")
        ACTOR+=(actor_rollout_ref.actor.data_loader_seed="${SEED}")
        ROLLOUT+=(actor_rollout_ref.rollout.seed=$((1000 * SEED)))     # ours: apart, for each engine adds its number
    fi

    # shellcheck source=/dev/null
    source "${SHARED}/backends/${BACKEND}.sh"
    local setting
    if [ -f "${SHARED}/methods/${METHOD}.sh" ]; then
        # shellcheck source=/dev/null
        source "${SHARED}/methods/${METHOD}.sh"
    else                                               # a registered selector's or shaper's name, in HICRA's place
        setting=$("${PYTHON}" -m hicra_verl.cli recipes method "${METHOD}")
        # shellcheck source=/dev/null
        source "${SHARED}/methods/hicra.sh"
        ALGORITHM+=("${setting}")
    fi

    if [ "${STAGES}" = none ]; then
        STAGES=${SHARED}/stages/single.yaml
        DATA+=(data.max_response_length="${MAX_RESPONSE_LENGTH}")
        ACTOR+=(actor_rollout_ref.actor.ppo_max_token_len_per_gpu=$((MAX_PROMPT_LENGTH + MAX_RESPONSE_LENGTH)))   # ours
    fi
    local launcher=("${PYTHON}" -m hicra_verl.cli stages "${STAGES}")
    [ "${STOP}" != 1 ] || launcher+=(--stop)

    run "${launcher[@]}" -- "${PYTHON}" -m verl.trainer.main_ppo "${ENGINE[@]}" \
        "${ALGORITHM[@]}" "${DATA[@]}" "${ACTOR[@]}" "${ROLLOUT[@]}" "${REWARD[@]}" "${TRAINER[@]}" \
        "${MODEL_SETTINGS[@]}" "$@"
}

evaluate() {
    [ -z "${SEED}" ] || EVAL_SETTINGS+=(--seed "${SEED}")
    [ "${GPUS_PER_NODE}" = 1 ] || EVAL_SETTINGS+=(--replicas "${GPUS_PER_NODE}")   # ours: a copy for each GPU of a node
    local row=${ROW}
    [ -f "${SHARED}/../${ROW}.sh" ] || row=new:${ROW}  # none of the paper's: a row of one's own
    run "${PYTHON}" -m hicra_verl.cli eval "${BENCHMARKS[@]}" --model "${MODEL_PATH}" --data "${DATA_DIR}" \
        --row "${row}" --output "${EVAL_DIR:-results/${RUN_NAME}}" "${EVAL_SETTINGS[@]}" "$@"
}
