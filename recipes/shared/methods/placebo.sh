# The comparison asked for in the paper's review: random phrases in place of strategic grams. The authors' own are not
# published; ours flag as many tokens as the paper's set on 800 MATH solutions, and are made by
#   hicra grams placebo math_cot_100.jsonl --tokenizer qwen3 -o placebo.json      (seed 0)
# shellcheck shell=bash
GRAMS=${GRAMS:-${SHARED}/placebo.json}
source "${SHARED}/methods/hicra.sh"
