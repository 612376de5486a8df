#!/usr/bin/env bash
# Evaluate a trained row: `bash recipes/evaluate.sh MODEL METHOD`. Every further word goes to `hicra eval`. What is
# evaluated is the newest checkpoint in the row's OUTPUT_DIR (verl's own format, merged here), or
#
#   CHECKPOINT=best                       the one with the best validation, which is on a benchmark: see shared/models/text.sh
#   CHECKPOINT=…/global_step_N            that one
#   MODEL_PATH=…                          a model folder or a name on the hub
#   SEED=N                                as in training: OUTPUT_DIR and EVAL_DIR are those of that seed
#
#   bash recipes/evaluate.sh qwen25_7b hicra
set -euo pipefail
MODEL=${1:?the first word names the model, such as qwen25_7b}
METHOD=${2:?the second word names the method, such as hicra}
shift 2
given=${MODEL_PATH:-}
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"

# The folder of the checkpoint that CHECKPOINT names.
checkpoint() {
    local found
    case ${CHECKPOINT:-newest} in
        newest) found=${OUTPUT_DIR}/global_step_$(cat "${OUTPUT_DIR}/latest_checkpointed_iteration.txt" 2>/dev/null || true) ;;
        best) found=${OUTPUT_DIR}/best/global_step_$(sed -n 's/.*"step": *\([0-9]*\).*/\1/p' "${OUTPUT_DIR}/best/best.json" 2>/dev/null || true) ;;
        *) found=$(absolute "${CHECKPOINT}") ;;
    esac
    [ -d "${found}/actor" ] ||
        fail "${OUTPUT_DIR} holds no checkpoint '${CHECKPOINT:-newest}' (looked for ${found}/actor):" \
            "train the row first, or set OUTPUT_DIR, CHECKPOINT or MODEL_PATH"
    printf '%s' "${found}"
}

if [ -z "${given}" ]; then
    folder=$(checkpoint)
    MODEL_PATH=${folder}/merged
    if [ ! -f "${MODEL_PATH}/config.json" ] && [ "${RECIPE_DRY_RUN:-0}" != 1 ]; then
        "${PYTHON}" -m verl.model_merger merge --backend "${BACKEND}" --local_dir "${folder}/actor" \
            --target_dir "${MODEL_PATH}.part"
        mv "${MODEL_PATH}.part" "${MODEL_PATH}"        # whole or not at all
    fi
fi
evaluate "$@"
