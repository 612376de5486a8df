# What the vision-language models share.
# shellcheck shell=bash disable=SC2034
TEMPLATE=${TEMPLATE:-vision}
TRAIN_FILE=${TRAIN_FILE:-${DATA_DIR}/${TEMPLATE}/virl39k.parquet}   # paper: ViRL39K
TEST_FILE=${TEST_FILE:-${DATA_DIR}/${TEMPLATE}/mathvista.parquet}
VAL_SAMPLES=1                                          # paper: one sample for benchmarks of 100 items or more
BENCHMARKS=(mathvista mathvision mathverse emma)
EVAL_SETTINGS+=(--template "${TEMPLATE}")
if [ "${STAGES}" = "${SHARED}/stages/paper.yaml" ]; then
    STAGES=${SHARED}/stages/vision.yaml
    MAX_PROMPT_LENGTH=4096                             # ours
fi
MODEL_SETTINGS+=(data.image_key=images)
