#!/usr/bin/env bash
# Qwen2.5-VL-7B-Instruct: GRPO with clip-higher.
# Paper, Table 2: MathVista 70.8 · MathVision 25.8 · MathVerse 48.8 · EMMA 31.8.
# Status: not yet run at full scale by us.
MODEL=qwen25_vl_7b
METHOD=grpo
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
