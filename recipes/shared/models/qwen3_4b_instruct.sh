# Paper: Qwen3-4B-Instruct-2507.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen3-4B-Instruct-2507}
STEPS=${STEPS:-90}                                     # paper, read off the axes
source "${SHARED}/models/text.sh"
