#!/usr/bin/env bash
# Qwen2.5-VL-7B-Instruct: as published, evaluated only.
# Paper, Table 2: MathVista 66.6 · MathVision 23.6 · MathVerse 45.9 · EMMA 22.3.
# Status: not yet run at full scale by us.
MODEL=qwen25_vl_7b
METHOD=base
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
evaluate "$@"
