# Paper: Qwen2.5-VL-7B-Instruct.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen2.5-VL-7B-Instruct}
STEPS=${STEPS:-150}                                    # ours, as MiMo-VL
source "${SHARED}/models/vision.sh"
