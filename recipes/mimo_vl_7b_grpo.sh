#!/usr/bin/env bash
# MiMO-VL-Instruct-2508: GRPO with clip-higher.
# Paper, Table 2: MathVista 73.7 · MathVision 42.8 · MathVerse 63.0 · EMMA 41.9.
# Status: not yet run at full scale by us.
MODEL=mimo_vl_7b
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
