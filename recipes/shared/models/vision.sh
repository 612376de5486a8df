# What the vision-language models share.
# shellcheck shell=bash disable=SC2034
TEMPLATE=${TEMPLATE:-vision}                           # ours
TRAIN_FILE=${TRAIN_FILE:-${DATA_DIR}/${TEMPLATE}/virl39k.parquet}   # paper: ViRL39K
TEST_FILE=${TEST_FILE:-${DATA_DIR}/${TEMPLATE}/mathvista.parquet}   # ours; a benchmark of the table too, see text.sh
VAL_SAMPLES=${VAL_SAMPLES:-1}                          # paper: one sample for benchmarks of 100 items or more
BENCHMARKS=(mathvista mathvision mathverse emma)
EVAL_SETTINGS+=(--template "${TEMPLATE}")
STAGES=${STAGES:-${SHARED}/stages/vision.yaml}
MAX_PROMPT_LENGTH=${MAX_PROMPT_LENGTH:-4096}           # ours: images take part of the prompt
MAX_RESPONSE_LENGTH=${MAX_RESPONSE_LENGTH:-12288}      # paper: a context of 16K
MODEL_SETTINGS+=(data.image_key=images)                # verl's default: the column that `hicra data` writes
