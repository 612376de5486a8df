# Paper: Qwen3-4B adaptive, no-think: the template's own switch turns thinking off, in training and in evaluation.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-Qwen/Qwen3-4B}
STEPS=${STEPS:-90}                                     # ours, as Qwen3-4B-Instruct: the paper shows no axis for this row
source "${SHARED}/models/text.sh"
MODEL_SETTINGS+=(+data.apply_chat_template_kwargs.enable_thinking=False)   # paper: no-think
EVAL_SETTINGS+=(--template-argument enable_thinking=false)
