"""What lets the stock verl trainer and the stock vLLM rollout run on a machine without a GPU.

``platform``           a CPU platform for verl's own platform registry.
``vllm_process``       what vLLM's CPU build needs in each of its processes.
``checkpoint_engine``  weights through a file, for verl's disaggregated trainers.

The one function of verl that has to change for it is wrapped in ``verl_patches``.
"""
