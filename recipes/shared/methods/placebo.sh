# The comparison asked for in the paper's review: random n-grams in place of strategic ones. `hicra placebo` draws them.
# shellcheck shell=bash
GRAMS=${GRAMS:-${DATA_DIR}/placebo.json}
source "${SHARED}/methods/hicra.sh"
