# Paper: Qwen3-4B-Base.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen3-4B-Base}
STEPS=${STEPS:-150}                                    # paper, read off the axes
source "${SHARED}/models/text.sh"
source "${SHARED}/models/qwen_base.sh"
