# Paper: GRPO with an entropy loss over all tokens. Its coefficient is not printed.
# shellcheck shell=bash
ALGORITHM+=(algorithm.adv_estimator=grpo)
ACTOR+=(actor_rollout_ref.actor.entropy_coeff="${ENTROPY_COEFF:-0.001}")   # ours
