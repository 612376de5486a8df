# Megatron, where verl makes it a switch (BACKEND=megatron); needs verl's Megatron image. Composed and validated in the
# tests, never run by us.
# shellcheck shell=bash disable=SC2034
ENGINE=(model_engine=megatron)                         # the switch itself; verl's default is FSDP
ACTOR+=(
    actor_rollout_ref.actor.megatron.tensor_model_parallel_size=2  # ours
    actor_rollout_ref.actor.megatron.param_offload=True            # as DAPO, whose engine is FSDP
    actor_rollout_ref.actor.megatron.optimizer_offload=True        # as DAPO, whose engine is FSDP
    # What enable_gradient_checkpointing is to FSDP; without it the activations of 32K tokens do not fit.
    actor_rollout_ref.actor.megatron.override_transformer_config.recompute_granularity=full   # ours
    actor_rollout_ref.actor.megatron.override_transformer_config.recompute_method=uniform     # ours
    actor_rollout_ref.actor.megatron.override_transformer_config.recompute_num_layers=1       # ours: each layer
)
