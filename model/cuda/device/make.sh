#!/usr/bin/env bash
# Makes kernels.ptx. The version of clang is fixed, since CI compares what it makes with
# what is committed; on Debian and Ubuntu the package is clang-14.
set -euo pipefail
cd "$(dirname "$0")"
command -v clang-14 >/dev/null || { echo "make generate needs clang-14 for the GPU's program: apt-get install clang-14" >&2; exit 1; }
clang-14 -x cuda --cuda-device-only -nocudainc -nocudalib --cuda-gpu-arch=sm_75 \
  -O3 -std=c++17 -Wall -Wextra -Werror -S -o kernels.ptx kernels.cu
