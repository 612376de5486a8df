# Paper: Llama-3.1-8B-Instruct, with dynamic filtering as in DAPO: groups whose responses are all right or all wrong
# are dropped and replaced.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-meta-llama/Llama-3.1-8B-Instruct}
STEPS=${STEPS:-300}                                    # paper, read off the axes
TEMPLATE=${TEMPLATE:-llama}
source "${SHARED}/models/text.sh"
MODEL_SETTINGS+=(
    algorithm.filter_groups.enable=True                # paper: dynamic filtering, for this model only
    algorithm.filter_groups.metric=acc                 # as DAPO
)
