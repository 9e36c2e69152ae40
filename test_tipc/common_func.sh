# Functions that the TIPC scripts share: reading a parameter file, and running a step with its status line.

# The lines of a parameter file, numbered from 0; blank lines and carriage returns do not count.
read_params() {
    [ -f "$1" ] || die "$1: no such parameter file"
    mapfile -t PARAMS < <(tr -d '\r' < "$1" | sed '/^[[:space:]]*$/d')
    [ "${#PARAMS[@]}" -ge 53 ] || die "$1: ${#PARAMS[@]} lines; expected 53, positions are fixed"
}

# key_at 6 → --num_epochs        value_at 6 → lite_train_lite_infer=3|…
key_at() { printf '%s' "${PARAMS[$1]%%:*}"; }
value_at() { case "${PARAMS[$1]}" in *:*) printf '%s' "${PARAMS[$1]#*:}" ;; esac; }

# value_for_mode 6 MODE: the entry of 'mode=value|mode=value', or the value itself if it names no mode.
value_for_mode() {
    local value entry
    value=$(value_at "$1")
    case "$value" in *=*) ;; *) printf '%s' "$value"; return ;; esac
    for entry in ${value//|/ }; do
        if [ "${entry%%=*}" = "$2" ]; then printf '%s' "${entry#*=}"; return; fi
    done
    die "line $1, $(key_at "$1"): no value for mode $2"
}

# alternatives 'a|b' → a b
alternatives() { printf '%s' "${1//|/ }"; }

# option ARRAY KEY VALUE: append KEY=VALUE to the array, nothing if one of them is null.
option() {
    local -n _array=$1
    if [ "$2" != null ] && [ "$3" != null ] && [ -n "$2" ]; then _array+=("$2=$3"); fi
}

check_mode() {
    case "$1" in
        lite_train_lite_infer | lite_train_whole_infer | whole_infer | whole_train_whole_infer) ;;
        *) die "unknown mode '$1'; expected lite_train_lite_infer, lite_train_whole_infer, whole_infer or whole_train_whole_infer" ;;
    esac
}

die() {
    echo "error: $*" >&2
    # also from inside $(…), where exit would only leave the subshell
    kill -s TERM "$MAIN_PID"
    exit 1
}
MAIN_PID=$$
trap 'exit 1' TERM

SUCCESSES=0
FAILURES=0

# run_step LOG COMMAND…: run it, keep its output in LOG, and write the status line. Its exit code is returned.
run_step() {
    local log=$1 code
    shift
    mkdir -p "$(dirname "$log")"
    "$@" 2>&1 | tee "$log"
    code=${PIPESTATUS[0]}
    if [ "$code" -eq 0 ]; then
        SUCCESSES=$((SUCCESSES + 1))
        status "Run successfully with command - ${MODEL} - $*!"
    else
        FAILURES=$((FAILURES + 1))
        status "Run failed with command - ${MODEL} - $*! (exit code ${code}, see ${log})"
    fi
    return "$code"
}

# A yellow line on the terminal and in results_python.log.
status() { printf '\033[33m%s\033[0m\n' "$*" | tee -a "$STATUS_LOG"; }

# Number of GPUs that Paddle can use; 0 for a CPU build.
count_gpus() {
    "$PYTHON" -W ignore -c 'import paddle; print(paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0)' 2>/dev/null \
        || die "$PYTHON cannot import paddle"
}
