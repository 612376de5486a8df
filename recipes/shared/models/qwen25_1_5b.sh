# Not in the paper: a small model for one GPU and one evening, to see the whole cycle on real hardware before a row of the
# paper. Every value is ours.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-1.5B}
STEPS=${STEPS:-100}                                    # ours
NNODES=${NNODES:-1}                                    # ours
GPUS_PER_NODE=${GPUS_PER_NODE:-1}                      # ours
STAGES=${STAGES:-none}                                 # ours: one stage of 4K
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-1024}           # ours
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-3072}       # ours
TEMPLATE=${TEMPLATE:-qwen}                             # ours
TRAIN_FILE=${TRAIN_FILE:-${DATA_DIR}/${TEMPLATE}/deepscaler.parquet}   # ours
TEST_FILE=${TEST_FILE:-${DATA_DIR}/${TEMPLATE}/math500.parquet}        # ours: AIME says little of a model this small
VAL_SAMPLES=${VAL_SAMPLES:-1}                          # paper: one sample for benchmarks of 100 items or more
source "${SHARED}/models/text.sh"
source "${SHARED}/models/qwen_base.sh"
BENCHMARKS=(math500 amc23)
MODEL_SETTINGS+=(
    data.train_batch_size=64                           # ours
    actor_rollout_ref.actor.ppo_mini_batch_size=32     # ours: two updates a step
    actor_rollout_ref.rollout.n=8                      # ours: as many as the paper's Pass@8 asks for
    actor_rollout_ref.rollout.gpu_memory_utilization=0.5   # ours: the trainer is on the same GPU
    trainer.save_freq=25                               # ours
    trainer.max_actor_ckpt_to_keep=2                   # ours
)
