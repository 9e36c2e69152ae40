#!/usr/bin/env bash
# PaddleSeg 2.8 in an environment of its own: its pins hold NumPy < 2 and an old OpenCV.
set -euo pipefail
where=${1:-.venv-paddleseg}
[ -x "$where/bin/python" ] || python3 -m venv "$where"
"$where/bin/python" -m pip install --quiet --disable-pip-version-check \
  "paddlepaddle==3.3.1" "paddleseg==2.8.0" "numpy==1.26.4" "opencv-python==4.5.5.64" psutil
echo "$where/bin/python"
