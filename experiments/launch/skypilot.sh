#!/usr/bin/env bash
# Trains on TPU VMs by a managed job of SkyPilot, which recovers from preemption: skypilot.yaml.
#   skypilot.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
#   DRY_RUN=1  print the command
#   SPOT=1     empty: on demand
set -euo pipefail

if [ $# -lt 3 ] || [[ $2 != gs://* ]]; then
  echo "usage: skypilot.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." >&2
  exit 2
fi
name=$1 workdir=${2%/}
shift 2
printf -v arguments '%q ' "$@"

# shellcheck source=/dev/null
. "$(dirname "$0")/dry_run.sh"

spot=--use-spot
[ -n "${SPOT-1}" ] || spot=--no-use-spot
cd "$(dirname "$0")/../.."
run sky jobs launch --name="$name" "$spot" --yes --detach-run \
  --env=RUN="$workdir" --env=TRAIN_ARGUMENTS="${arguments% }" \
  experiments/launch/skypilot.yaml
