# verl's default engine.
# shellcheck shell=bash disable=SC2034
ENGINE=()
ACTOR+=(
    actor_rollout_ref.actor.fsdp_config.param_offload=True         # as DAPO
    actor_rollout_ref.actor.fsdp_config.optimizer_offload=True     # as DAPO
)
