#!/usr/bin/env bash
# Llama-3.1-8B-Base: GRPO with clip-higher.
# Paper: the figures on training dynamics; in no table.
# Status: not yet run at full scale by us.
MODEL=llama31_8b_base
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
