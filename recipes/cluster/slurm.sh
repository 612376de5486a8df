#!/usr/bin/env bash
# A recipe on several nodes of a Slurm cluster: Ray across the allocation, the recipe on its first node.
#
#   sbatch --nodes=2 recipes/cluster/slurm.sh recipes/qwen25_7b_hicra.sh [OVERRIDE…]
#
# The environment (verl, hicra-verl, DATA_DIR, OUTPUT_DIR) must be the same on every node; a shared file system holds the
# data and the checkpoints. Written from Slurm's and Ray's documentation; not yet run on a cluster by us.
#SBATCH --job-name=hicra
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64
#SBATCH --time=72:00:00
set -euo pipefail

recipe=$1
shift
mapfile -t nodes < <(scontrol show hostnames "${SLURM_JOB_NODELIST}")
head_ip=$(srun --nodes=1 --ntasks=1 -w "${nodes[0]}" hostname --ip-address | awk '{print $1}')
export RAY_ADDRESS=${head_ip}:6379
export NNODES=${SLURM_JOB_NUM_NODES}
export GPUS_PER_NODE=${GPUS_PER_NODE:-8}

srun --nodes=1 --ntasks=1 --overlap -w "${nodes[0]}" \
    env -u RAY_ADDRESS ray start --head --node-ip-address="${head_ip}" --port=6379 --num-gpus="${GPUS_PER_NODE}" --block &
sleep 15
for node in "${nodes[@]:1}"; do
    srun --nodes=1 --ntasks=1 --overlap -w "${node}" \
        env -u RAY_ADDRESS ray start --address="${head_ip}:6379" --num-gpus="${GPUS_PER_NODE}" --block &
done
sleep 15

# RAY_ADDRESS makes verl join this cluster instead of starting one of its own.
srun --nodes=1 --ntasks=1 --overlap -w "${nodes[0]}" bash "${recipe}" "$@"
