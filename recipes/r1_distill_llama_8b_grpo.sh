#!/usr/bin/env bash
# DeepSeek-R1-Distill-Llama-8B: GRPO with clip-higher.
# Paper: the figures on training dynamics; in no table.
# Status: not yet run at full scale by us.
MODEL=r1_distill_llama_8b
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
