#!/usr/bin/env bash
# A recipe on several nodes of a Slurm cluster: Ray across the allocation, the recipe on its first node.
#
#   sbatch --nodes=2 recipes/cluster/slurm.sh recipes/qwen25_7b_hicra.sh [OVERRIDE…]
#
# The environment (verl, hicra-verl, DATA_DIR, OUTPUT_DIR) must be the same on every node; a shared file system holds the
# data and the checkpoints. Rows of 70 to 90 hours do not fit a limit of 72: ten minutes before it, and after a node's
# failure, the job is queued again, and the same command goes on from its last checkpoint. A recipe that fails by itself
# is not queued again. PYTHON names the interpreter; `ray` is the one beside it.
#
# Run with Slurm 22.05 on one machine that stands for two nodes, with a tiny model; not yet on a cluster by us.
#SBATCH --job-name=hicra
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=72:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@600
set -euo pipefail

recipe=$1
shift
PYTHON=${PYTHON:-python}
ray=("${PYTHON}" -m ray.scripts.scripts)
export PYTHON NNODES=${SLURM_JOB_NUM_NODES} GPUS_PER_NODE=${GPUS_PER_NODE:-${SLURM_GPUS_ON_NODE:-8}}
# Since Slurm 22.05 srun does not take --cpus-per-task over from sbatch, and each step would have one core.
export SRUN_CPUS_PER_TASK=${SLURM_CPUS_PER_TASK:-1}
# Where a local ray.init() has left ~/.ray/auth_token, `ray start --head` (Ray 2.60) asks for it, but neither the other
# nodes nor a driver with an explicit address send it. So the mode is said, and the token is this job's own.
export RAY_AUTH_MODE=${RAY_AUTH_MODE:-token}
export RAY_AUTH_TOKEN=${RAY_AUTH_TOKEN:-$("${PYTHON}" -c 'import secrets; print(secrets.token_hex(32))')}

queue_again() {
    echo "The time limit is near: job ${SLURM_JOB_ID} is queued again and goes on from its last checkpoint."
    scontrol requeue "${SLURM_JOB_ID}"
    exit 0
}
trap queue_again USR1
trap 'exit 143' TERM
trap 'kill $(jobs -p) 2>/dev/null || true' EXIT   # Ray's nodes

on() {   # always in a subshell, which becomes srun: the trap then reaches it
    local node=$1
    shift
    exec srun --nodes=1 --ntasks=1 --overlap -w "${node}" "$@"
}

mapfile -t nodes < <(scontrol show hostnames "${SLURM_JOB_NODELIST}")
head_ip=$(on "${nodes[0]}" hostname -I | awk '{print $1}')   # never a loopback address, which other nodes cannot reach
port=$((20000 + SLURM_JOB_ID % 10000))   # two jobs may share a node
export RAY_ADDRESS=${head_ip}:${port}
start=(env -u RAY_ADDRESS "${ray[@]}" start --num-gpus="${GPUS_PER_NODE}" --num-cpus="${SRUN_CPUS_PER_TASK}"
    --disable-usage-stats --block)

on "${nodes[0]}" "${start[@]}" --head --node-ip-address="${head_ip}" --port="${port}" &
# `wait` is what lets a signal through: bash answers none while a command runs in the foreground.
on "${nodes[0]}" "${PYTHON}" -m hicra_verl.training.ray_nodes 1 --limit-s 300 &
wait $!
for node in "${nodes[@]:1}"; do
    on "${node}" "${start[@]}" --address="${RAY_ADDRESS}" &
done
on "${nodes[0]}" "${PYTHON}" -m hicra_verl.training.ray_nodes "${NNODES}" --gpus "${GPUS_PER_NODE}" --limit-s 600 &
wait $!

# RAY_ADDRESS makes verl join this cluster instead of starting one of its own.
on "${nodes[0]}" bash "${recipe}" "$@" &
wait $!
