# The comparison asked for in the paper's review: the same bonus on the tokens of highest entropy instead.
# shellcheck shell=bash
source "${SHARED}/methods/hicra.sh"
ALGORITHM+=(
    algorithm.hicra.selector=high_entropy              # ours: which tokens the authors shaped there is not published
    algorithm.hicra.selector_args='{fraction: 0.3}'    # paper: "high entropy" is the top 30% of tokens; of a batch: ours
)
