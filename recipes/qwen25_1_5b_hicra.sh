#!/usr/bin/env bash
# Qwen2.5-1.5B-Base: HICRA.
# Smoke: one GPU, one evening; not in the paper.
# Status: not yet run at full scale by us.
MODEL=qwen25_1_5b
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
