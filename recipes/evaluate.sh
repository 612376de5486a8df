#!/usr/bin/env bash
# Evaluate a trained row: `bash recipes/evaluate.sh MODEL METHOD` with CHECKPOINT=…/global_step_N (verl's own format, merged
# here) or MODEL_PATH=… (a model folder). Every further word goes to `hicra eval`.
#
#   CHECKPOINT=checkpoints/hicra/qwen25_7b_hicra/global_step_500 bash recipes/evaluate.sh qwen25_7b hicra --replicas 8
set -euo pipefail
MODEL=${1:?the first word names the model, such as qwen25_7b}
METHOD=${2:?the second word names the method, such as hicra}
shift 2
if [ -n "${CHECKPOINT:-}" ]; then
    MODEL_PATH=${CHECKPOINT}/merged
    [ -f "${MODEL_PATH}/config.json" ] || "${PYTHON:-python}" -m verl.model_merger merge --backend "${BACKEND:-fsdp}" \
        --local_dir "${CHECKPOINT}/actor" --target_dir "${MODEL_PATH}"
fi
export MODEL_PATH=${MODEL_PATH:?set CHECKPOINT or MODEL_PATH to what is to be evaluated}
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
