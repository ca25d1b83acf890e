#!/usr/bin/env bash
# Builds Podium for CUDA on a machine that has neither CUDA nor a GPU, from PyPI's nvcc and crates.io (Linux on x86-64).
#   scripts/cuda-build.sh [CAPABILITY [CARGO ARGUMENTS...]]
#   scripts/cuda-build.sh                 the binary, for devices of compute capability 8.0 and newer
#   scripts/cuda-build.sh 90              the same for 9.0 (H100, H200) alone
#   scripts/cuda-build.sh 90 test --release --no-run --features cuda -p rerank-qwen3 --test cuda
# With a CUDA toolkit and a driver of your own, `cargo build --release --features cuda` is enough.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
capability=${1:-80}
shift $(($# > 0 ? 1 : 0))
[ $# -gt 0 ] || set -- build --release --features cuda --bin podium
kit=${KIT:-$HOME/.cache/podium-cuda}
jobs=${JOBS:-$(nproc)}

cuda=$kit/cuda-13.0

# 105 MB, once. The wheels are run, so they must be those that scripts/cuda-requirements.txt knows by their hashes.
fetch_toolkit() {
  [ ! -e "$cuda/complete" ] || return 0
  local fetched
  fetched=$(mktemp -d)
  python3 -m pip download -q --no-deps --only-binary=:all: --python-version 3.12 --implementation cp \
    --platform manylinux2014_x86_64 --platform manylinux_2_17_x86_64 --platform manylinux2010_x86_64 \
    --platform manylinux_2_12_x86_64 --platform manylinux_2_27_x86_64 --platform any -d "$fetched" \
    --require-hashes -r "$here/scripts/cuda-requirements.txt"
  rm -rf "$cuda"
  local wheel
  for wheel in "$fetched"/*.whl; do python3 -m zipfile -e "$wheel" "$fetched/unpacked"; done
  mkdir -p "$kit"
  mv "$fetched/unpacked/nvidia/cu13" "$cuda"
  rm -rf "$fetched"
  # Python's zipfile drops what may be executed; nvcc looks for lib64.
  chmod +x "$cuda"/bin/* "$cuda"/bin/crt/* "$cuda"/nvvm/bin/*
  ln -s lib "$cuda/lib64"
  # candle-kernels asks for -lcudart: with this one, the binary does not ask the machine that it runs on.
  mkdir "$cuda/link"
  ln -s ../lib/libcudart_static.a "$cuda/link/libcudart.a"
  touch "$cuda/complete"
}

# candle-core links CUDA's libraries, so that a binary neither links nor starts where they are not. Loaded when they are first
# used, they may be missing until then; that is another word in its manifest, and cudarc refuses both words at once.
unlinked_candle() {
  local version stock
  version=$(sed -n 's/^candle-core = .*"=\([0-9.]*\)".*/\1/p' "$here/Cargo.toml")
  candle=$kit/candle-core-$version
  [ ! -e "$candle/complete" ] || return 0
  (cd "$here" && cargo fetch -q --locked)
  # One folder for each registry that the machine has used.
  for stock in "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/candle-core-"$version"; do
    [ ! -d "$stock" ] || break
  done
  if [ ! -d "$stock" ]; then
    echo "cuda-build: candle-core ${version:-(no version in Cargo.toml)} is not in ${stock%/*/*}: run cargo fetch" >&2
    exit 1
  fi
  rm -rf "$candle"
  cp -r "$stock" "$candle"
  chmod -R u+w "$candle"
  rm -f "$candle"/{Cargo.lock,Cargo.toml.orig,.cargo-ok,.cargo_vcs_info.json}
  grep -q '"dynamic-linking"' "$candle/Cargo.toml"
  sed -i 's/"dynamic-linking"/"dynamic-loading"/' "$candle/Cargo.toml"
  touch "$candle/complete"
}

# A copy, because the replaced crate changes Cargo.lock. Files that are as they were keep their time, and all others are new: cargo
# goes by the time, and a change may be older than the build that did not see it.
copy_sources() {
  tree=$kit/tree
  local new=$kit/tree.new file
  rm -rf "$new"
  mkdir -p "$new"
  tar cf - -C "$here" --exclude=./target --exclude=./.git . | tar xmf - -C "$new"
  printf '\n[patch.crates-io]\ncandle-core = { path = "%s" }\n' "$candle" >>"$new/Cargo.toml"
  (cd "$new" && find . -type f -print0) | while IFS= read -r -d '' file; do
    ! cmp -s "$new/$file" "$tree/$file" || touch -r "$tree/$file" "$new/$file"
  done
  rm -rf "$tree"
  mv "$new" "$tree"
}

# A function, so that the shell has read all of it when it begins.
build() {
  fetch_toolkit
  unlinked_candle
  copy_sources
  export CUDA_HOME=$cuda CUDA_PATH=$cuda NVCC=$cuda/bin/nvcc PATH=$cuda/bin:$PATH LIBRARY_PATH=$cuda/link
  export CUDA_COMPUTE_CAP=$capability CUDARC_CUDA_VERSION=13000 CUDAFORGE_THREADS=$jobs
  export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$kit/target}
  cd "$tree"
  cargo "$1" -j "$jobs" "${@:2}"
  echo "built for compute capability $capability below $CARGO_TARGET_DIR"
}

build "$@"
