#!/usr/bin/env bash
# Qwen2.5-VL-7B-Instruct: HICRA.
# Paper, Table 2: MathVista 71.4 · MathVision 28.7 · MathVerse 48.2 · EMMA 33.0.
# Status: not yet run at full scale by us.
MODEL=qwen25_vl_7b
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
