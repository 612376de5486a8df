# Paper: "MiMO-VL-Instruct-2508". No checkpoint has that name: there are MiMo-VL-7B-SFT-2508 and MiMo-VL-7B-RL-2508.
# Ours: the SFT one, the start of reinforcement learning; MODEL_PATH=XiaomiMiMo/MiMo-VL-7B-RL-2508 takes the other.
# shellcheck shell=bash disable=SC2034
MODEL_PATH=${MODEL_PATH:-XiaomiMiMo/MiMo-VL-7B-SFT-2508}
STEPS=${STEPS:-150}                                    # paper, read off the axes
source "${SHARED}/models/vision.sh"
