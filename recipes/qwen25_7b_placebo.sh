#!/usr/bin/env bash
# Qwen2.5-7B-Base: HICRA with random n-grams for strategic grams.
# The authors in review (second-hand): AIME24 14.6 · AIME25 9.3.
# Status: not yet run at full scale by us.
MODEL=qwen25_7b
METHOD=placebo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
