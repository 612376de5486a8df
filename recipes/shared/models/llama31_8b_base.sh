# Paper: Llama-3.1-8B-Base, in the figures on training dynamics only.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-meta-llama/Llama-3.1-8B}
STEPS=${STEPS:-300}                                    # ours, as Llama-3.1-8B-Instruct
TEMPLATE=${TEMPLATE:-llama}
source "${SHARED}/models/text.sh"
# A base model without a chat template of its own: the token every Llama text begins with, then the bare messages. verl
# and `hicra eval` add no special tokens to what the template writes.
MODEL_SETTINGS+=("actor_rollout_ref.model.custom_chat_template='{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}'")   # ours
