# Megatron, where verl makes it a switch (BACKEND=megatron); needs verl's Megatron image. Composed and validated in the
# tests, never run by us.
# shellcheck shell=bash disable=SC2034
ENGINE=(model_engine=megatron)
ACTOR+=(
    actor_rollout_ref.actor.megatron.tensor_model_parallel_size=2   # ours
    actor_rollout_ref.actor.megatron.param_offload=True
    actor_rollout_ref.actor.megatron.optimizer_offload=True
)
