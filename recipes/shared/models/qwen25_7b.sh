# Paper: Qwen2.5-7B-Base.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-7B}
STEPS=${STEPS:-500}                                    # paper, read off the axes
source "${SHARED}/models/text.sh"
source "${SHARED}/models/qwen_base.sh"
