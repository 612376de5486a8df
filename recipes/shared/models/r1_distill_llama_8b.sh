# Paper: DeepSeek-R1-Distill-Llama-8B, in the figures on training dynamics only.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-deepseek-ai/DeepSeek-R1-Distill-Llama-8B}
STEPS=${STEPS:-300}                                    # ours, as Llama-3.1-8B-Instruct
TEMPLATE=${TEMPLATE:-llama}
source "${SHARED}/models/text.sh"
