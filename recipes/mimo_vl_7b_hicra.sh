#!/usr/bin/env bash
# MiMO-VL-Instruct-2508: HICRA.
# Paper, Table 2: MathVista 80.7 · MathVision 48.9 · MathVerse 65.4 · EMMA 44.1.
# Status: not yet run at full scale by us.
MODEL=mimo_vl_7b
METHOD=hicra
# shellcheck source=recipes/shared/recipe.sh
source "$(dirname "${BASH_SOURCE[0]}")/shared/recipe.sh"
train "$@"
