#!/usr/bin/env bash
# Make the data that a parameter file needs: bash test_tipc/prepare.sh FILE MODE
# Scenes come from the project's own generator: nothing is downloaded. Data made by the same command stay.
set -u
source "$(dirname "${BASH_SOURCE[0]}")/common_func.sh"

[ $# -eq 2 ] || die "usage: bash test_tipc/prepare.sh FILE MODE"
FILE=$(realpath "$1")
MODE=$2
check_mode "$MODE"
cd "$(dirname "${BASH_SOURCE[0]}")/.." || exit 1

read_params "$FILE"
PYTHON=$(value_at 2)
CONFIG=$(value_for_mode 10 "$MODE")
[ -f "$CONFIG" ] || die "$CONFIG: no such file (line 10 of $FILE)"
DATA=$(sed -n 's/^ *dataset_root: *//p' "$CONFIG" | head -n 1)
case "$DATA" in
    ./test_tipc/data/*) ;;
    *) die "$CONFIG: dataset_root is '$DATA'; expected a directory below ./test_tipc/data, the only place written to" ;;
esac
IFS=, read -r _ BANDS HEIGHT WIDTH <<< "$(value_at 29 | tr -d '[] ')" # --fixed_input_shape:[-1,10,256,256]

case "$MODE" in
    whole_train_whole_infer) SCENES=80 ;; # enough to learn something
    *) SCENES=12 ;;                       # enough to see that the chain runs
esac
COMMAND=("$PYTHON" tools/synth.py "$DATA" --legend landcover --scenes "$SCENES" --size "$HEIGHT" "$WIDTH"
    --bands "$BANDS" --georeferenced --val_fraction 0.25 --seed 0)

if [ -f "$DATA/.made_by" ] && [ "$(cat "$DATA/.made_by")" = "${COMMAND[*]}" ]; then
    echo "$DATA: already made"
    exit 0
fi
# what this script made for another mode goes; anything else is not its own to delete
if [ -e "$DATA" ]; then
    [ -f "$DATA/.made_by" ] || [ -f "$DATA/.unfinished" ] || die "$DATA exists and was not made by this script; move it away"
    rm -rf "$DATA"
fi
mkdir -p "$DATA"
touch "$DATA/.unfinished"
"${COMMAND[@]}" || die "the data could not be made: ${COMMAND[*]}"
printf '%s' "${COMMAND[*]}" > "$DATA/.made_by"
rm "$DATA/.unfinished"
echo "$DATA: $SCENES scenes of $HEIGHT×$WIDTH pixels and $BANDS bands"
