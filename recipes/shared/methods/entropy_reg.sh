# Paper: GRPO with an entropy loss over all tokens. Its coefficient is not printed.
# shellcheck shell=bash
source "${SHARED}/methods/grpo.sh"
ACTOR+=(actor_rollout_ref.actor.entropy_coeff="${ENTROPY_COEFF:-0.001}")   # ours
