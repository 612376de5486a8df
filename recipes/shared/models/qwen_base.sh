# What the base models of the Qwen family share. Their generation settings end a text at <|endoftext|> alone, while a turn
# of their chat template ends with <|im_end|>; a response that ends its turn would run on to the limit and count as cut
# off, which decides when the context grows. Training and evaluation stop at either.
# shellcheck shell=bash disable=SC2034
if [ "${ROLLOUT_ENGINE}" = vllm ]; then
    MODEL_SETTINGS+=(+actor_rollout_ref.rollout.engine_kwargs.vllm.generation_config="${SHARED}/models/qwen_base")   # ours
fi
EVAL_SETTINGS+=(--stop '<|im_end|>')                   # ours
