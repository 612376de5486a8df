"""What lets the stock verl trainer and the stock vLLM rollout run on a machine without a GPU.

``platform``      a CPU platform for verl's own platform registry, and the one verl function it needs changed.
``vllm_process``  what vLLM's CPU build needs in each of its processes.
"""
