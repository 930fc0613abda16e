#!/usr/bin/env bash
# Runs one command with AMD's Vitis AI tools, wherever they are. Snakemake's rules call it; by hand:
#   bash envs/vitis_ai.sh --image xilinx/vitis-ai-cpu:2.5.0.1260 vai_c_tensorflow2 --help
# Options: --engine auto|native|apptainer|docker|podman   --image NAME   --environment CONDA_ENVIRONMENT   --gpu
# auto: inside AMD's container its tools, else those on the PATH, else Docker, else Podman; one line says which.
set -euo pipefail
engine=auto image='' environment=vitis-ai-tensorflow2 gpu=
while [ $# -gt 0 ]; do
  case $1 in
    --engine) engine=$2; shift 2 ;;
    --image) image=$2; shift 2 ;;
    --environment) environment=$2; shift 2 ;;
    --gpu) gpu=1; shift ;;
    *) break ;;
  esac
done
say() { echo "vitis_ai.sh: $*" >&2; }
fail() { echo "error: $*" >&2; exit 1; }
[ $# -gt 0 ] || fail "vitis_ai.sh needs a command, such as vai_c_tensorflow2 --help"
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
conda=${VAI_CONDA:-/opt/vitis_ai/conda}

# Python programs of this project find softdpu there, and not our xir and vart, which would hide AMD's.
run() {
  case $1 in */python | python) export PYTHONPATH=$root/envs/path PYTHONNOUSERSITE=1 PYTHONDONTWRITEBYTECODE=1 ;; esac
  exec "$@"
}

# AMD's Python: the one beside its compiler, else the one on the PATH if it has AMD's quantizer.
native_python() {
  local compiler
  if compiler=$(command -v vai_c_tensorflow2) && [ -x "$(dirname "$compiler")/python" ]; then
    dirname "$compiler" | sed 's,$,/python,'
  elif python -c 'import importlib.util as i, os, sys
found = i.find_spec("tensorflow_model_optimization")
inside = "python/core/quantization/keras/vitis"
sys.exit(not (found and os.path.isdir(os.path.join(found.submodule_search_locations[0], inside))))' 2>/dev/null; then
    command -v python
  else
    return 1
  fi
}

try_container() { # inside AMD's container, or on a machine with its conda
  [ -f "$conda/etc/profile.d/conda.sh" ] || return 1
  set +u
  . "$conda/etc/profile.d/conda.sh"
  conda activate "$environment" || fail "there is no conda environment $environment in $conda"
  set -u
  local libraries=/opt/xilinx/xrt/lib:/usr/lib:/usr/lib/x86_64-linux-gnu # as AMD's container sets them
  export LD_LIBRARY_PATH=${gpu:+$conda/envs/$environment/lib:}$libraries
  say "$1 of the conda environment $environment"
  run "$@"
}

try_native() {
  local python tool
  if [ "$1" = python ]; then
    python=$(native_python) || return 1
    say "AMD's tools on the PATH, $python"
    run "$python" "${@:2}"
  fi
  tool=$(command -v "$1") || return 1
  say "$tool on the PATH"
  run "$@"
}

# The folders that the command names, those of the project and where it runs, at the same places as outside.
mounts() {
  local argument folder
  printf '%s\n' "$root" "$PWD"
  for argument in "$@"; do
    [ -e "$argument" ] || argument=$(dirname -- "$argument")
    case $argument in . | /) continue ;; esac
    [ -e "$argument" ] || continue
    folder=$(realpath -- "$argument")
    [ -d "$folder" ] || folder=$(dirname "$folder")
    case $folder/ in "$root"/* | "$(pwd -P)"/* | / | /usr/* | /bin/* | /etc/* | /tmp/) ;; *) echo "$folder" ;; esac
  done
}

try_engine() { # docker or podman
  local binary=$1 arguments folder
  shift
  command -v "$binary" >/dev/null || return 1
  [ -n "$image" ] || fail "vitis_ai.sh needs --image to run $1 with $binary"
  arguments=(run --rm --init --user "$(id -u):$(id -g)" --workdir "$PWD" --env HOME=/tmp --env USER=vitis-ai-user)
  [ "$binary" = podman ] && arguments+=(--userns keep-id)
  while read -r folder; do arguments+=(--volume "$folder:$folder"); done < <(mounts "$@" | sort -u)
  if [ -n "$gpu" ] && [ "$binary" = podman ]; then arguments+=(--device nvidia.com/gpu=all); fi
  if [ -n "$gpu" ] && [ "$binary" = docker ]; then arguments+=(--gpus all); fi
  arguments+=(--entrypoint bash "$image" "$root/envs/vitis_ai.sh" --engine container --environment "$environment")
  say "$1 in the container $image, started by $binary"
  exec "$binary" "${arguments[@]}" ${gpu:+--gpu} "$@"
}

how="install them (docs/vitis-ai.md), put vai_c_tensorflow2 on the PATH, or give vitis_ai.engine another value"
case $engine in
  auto)
    try_container "$@" || try_native "$@" || try_engine docker "$@" || try_engine podman "$@" ||
      fail "toolchain vitis-ai needs $1 of AMD's tools, and there is neither that nor Docker nor Podman," \
        "nor runs this in AMD's container (snakemake --sdm apptainer): $how"
    ;;
  native) try_container "$@" || try_native "$@" || fail "vitis_ai.engine is native, but AMD's $1 is not on the PATH: $how" ;;
  container | apptainer)
    try_container "$@" ||
      fail "this is not AMD's container, for it has no $conda: run snakemake with --sdm apptainer, or see" \
        "whether the image ${image:-of vitis_ai.image} is AMD's"
    ;;
  docker | podman) try_container "$@" || try_engine "$engine" "$@" || fail "vitis_ai.engine is $engine, which is not on the PATH: $how" ;;
  *) fail "--engine $engine: choose auto, native, apptainer, docker or podman" ;;
esac
