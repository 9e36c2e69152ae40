#!/usr/bin/env bash
# Train, export and run a model as its parameter file says:
#   bash test_tipc/test_train_inference_python.sh FILE MODE [GPUS]
# One "Run successfully …" or "Run failed …" line for each command; the exit code is 0 only if none failed.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/common_func.sh"

[ $# -ge 2 ] || die "usage: bash test_tipc/test_train_inference_python.sh FILE MODE [GPUS]"
FILE=$(realpath "$1")
MODE=$2
check_mode "$MODE"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

read_params "$FILE"
IFS=: read -r _ TASK MODEL <<< "${PARAMS[1]}" # model_name:task:model
PYTHON=$(value_at 2)
GPU_LIST=${3:-$(value_at 3)}
LOG_PATH=test_tipc/output/$TASK/$MODEL/$MODE
STATUS_LOG=$LOG_PATH/results_python.log
mkdir -p "$LOG_PATH"
: > "$STATUS_LOG"
status "------------------------ $MODE ------------------------"
GPUS=$(count_gpus)

# train GPUS PRECISION TRAINER: train, evaluate, export and infer; a step that needs a failed one is not tried.
train() {
    local gpus=$1 precision=$2 trainer=$3 save_dir command script
    script=$(trainer_command "$trainer")
    [ "$script" != null ] || { status "Skipped: trainer $trainer has no command"; return; }
    save_dir=$LOG_PATH/${trainer}_gpus_${gpus}_autocast_${precision}
    rm -rf "$save_dir" # a training never overwrites another one by itself

    command=(env "CUDA_VISIBLE_DEVICES=$([ "$gpus" = -1 ] || echo "$gpus")" "$PYTHON")
    case "$gpus" in *,*) command+=(-m paddle.distributed.launch "--devices=$gpus" "--log_dir=$save_dir/launch") ;; esac
    # shellcheck disable=SC2206 # the line holds a script and its sub-commands
    command+=($script)
    option command "$(key_at 4)" "$(value_at 4)"
    option command "$(key_at 5)" "$precision"
    option command "$(key_at 6)" "$(value_for_mode 6 "$MODE")"
    option command "$(key_at 7)" "$save_dir"
    option command "$(key_at 8)" "$(value_for_mode 8 "$MODE")"
    option command "$(key_at 9)" "$(value_at 9)"
    option command "$(key_at 10)" "$(value_for_mode 10 "$MODE")"
    run_step "$save_dir.train.log" "${command[@]}" || return

    local weights
    weights=$save_dir/$(value_at 11)
    if [ "$(value_at 23)" != null ]; then
        # shellcheck disable=SC2206
        command=("$PYTHON" $(value_at 23))
        option command --config "$(value_for_mode 10 "$MODE")"
        option command --model_path "$weights"
        run_step "$save_dir.eval.log" "${command[@]}"
    fi
    export_model "$(value_at 30)" "$weights" "$save_dir/static" "$save_dir.export.log" || return
    infer "$save_dir/static/" False
}

# The command of a trainer, lines 15-20 (norm_train, pact_train, …).
trainer_command() {
    local i
    for i in 15 16 17 18 19 20; do
        if [ "$(key_at $i)" = "${1}_train" ]; then value_at $i; return; fi
    done
    die "line 14: no line ${1}_train among 15 to 20"
}

# export_model SCRIPT WEIGHTS OUT LOG
export_model() {
    # shellcheck disable=SC2206
    local command=("$PYTHON" $1)
    option command "$(key_at 27)" "$3"
    option command "$(key_at 28)" "$2"
    option command "$(key_at 29)" "$(value_at 29)"
    run_step "$4" "${command[@]}"
}

# infer MODEL_DIR QUANTISED: every combination of the inference options.
infer() {
    local device mkldnn threads batch trt precision
    [ "$2" = False ] || die "line 39: a quantised model ($2) is not supported"
    for device in $(alternatives "$(value_at 41)"); do
        case "$device" in
            cpu)
                for mkldnn in $(alternatives "$(value_at 42)"); do
                    for threads in $(alternatives "$(value_at 43)"); do
                        for precision in $(alternatives "$(value_at 46)"); do
                            for batch in $(alternatives "$(value_at 44)"); do
                                infer_once "$1" "python_infer_cpu_usemkldnn_${mkldnn}_threads_${threads}_precision_${precision}_batchsize_${batch}.log" \
                                    41 cpu 42 "$mkldnn" 43 "$threads" 46 "$precision" 44 "$batch"
                            done
                        done
                    done
                done
                ;;
            gpu)
                [ "$GPUS" -gt 0 ] || { status "Skipped: inference on GPU, Paddle sees none here"; continue; }
                for trt in $(alternatives "$(value_at 45)"); do
                    for precision in $(alternatives "$(value_at 46)"); do
                        for batch in $(alternatives "$(value_at 44)"); do
                            infer_once "$1" "python_infer_gpu_usetrt_${trt}_precision_${precision}_batchsize_${batch}.log" \
                                41 gpu 45 "$trt" 46 "$precision" 44 "$batch"
                        done
                    done
                done
                ;;
            *) die "line 41: device $device; expected cpu or gpu" ;;
        esac
    done
}

# infer_once MODEL_DIR LOG (LINE VALUE)…
infer_once() {
    local model_dir=$1 log=$LOG_PATH/$2 command
    shift 2
    # shellcheck disable=SC2206
    command=("$PYTHON" $(value_at 40))
    while [ $# -gt 0 ]; do
        option command "$(key_at "$1")" "$2"
        shift 2
    done
    option command "$(key_at 47)" "$model_dir"
    # null here: the script knows the images (those of the training's configuration) and the log
    option command "$(key_at 48)" "$(given 48 "$(value_for_mode 10 "$MODE")")"
    option command "$(key_at 49)" "$(given 49 "$log")"
    option command "$(key_at 50)" "$(value_at 50)"
    option command "$(key_at 51)" "$(value_at 51)"
    option command "$(key_at 52)" "$(value_at 52)"
    run_step "$log.out" "${command[@]}"
}

# given LINE DEFAULT: the line's value, or the default where it is null.
given() {
    local value
    value=$(value_at "$1")
    [ "$value" = null ] && value=$2
    printf '%s' "$value"
}

if [ "$MODE" = whole_infer ]; then
    [ "$(value_at 37)" != null ] || die "line 37: mode whole_infer needs infer_model, a trained model"
    read -r -a exports <<< "$(alternatives "$(value_at 38)")"
    i=0
    for model in $(alternatives "$(value_at 37)"); do
        if [ "${exports[$i]:-null}" = null ]; then
            infer "$model/" "$(value_at 39)"
        else
            out=$LOG_PATH/infer_model_$i
            export_model "${exports[$i]}" "$model" "$out" "$out.export.log" && infer "$out/" "$(value_at 39)"
        fi
        i=$((i + 1))
    done
else
    for gpus in $(alternatives "$GPU_LIST"); do
        needed=$([ "$gpus" = -1 ] && echo 0 || tr ',' '\n' <<< "$gpus" | wc -l)
        if [ "$needed" -gt "$GPUS" ]; then
            status "Skipped: training on GPU $gpus, Paddle sees $GPUS here"
            continue
        fi
        for precision in $(alternatives "$(value_at 5)"); do
            for trainer in $(alternatives "$(value_at 14)"); do
                train "$gpus" "$precision" "$trainer"
            done
        done
    done
fi

status "------------------------ $SUCCESSES succeeded, $FAILURES failed ------------------------"
[ $((SUCCESSES + FAILURES)) -gt 0 ] || die "nothing was run: no line of gpu_list ($GPU_LIST) fits this machine with $GPUS GPUs (-1 is the CPU)"
[ "$FAILURES" -eq 0 ]
