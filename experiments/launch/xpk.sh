#!/usr/bin/env bash
# Trains on a GKE cluster of TPUs made by `xpk cluster create`; JobSet restarts what is preempted.
#   xpk.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
# It needs xpk, gcloud, kubectl and crane, and sends the last commit of this repository.
#   DRY_RUN=1               print the commands
#   CLUSTER, PROJECT, ZONE  of the cluster; the first must be set
#   TPU_TYPE=v5litepod-256  of a slice; tpu7x-2x2x4 for TPU7x
#   NUM_SLICES=1
#   BASE_IMAGE=python:3.12  what the code is put into
#   MAX_RESTARTS=1000       of the whole workload
#   GRACE_SECONDS=300       from SIGTERM to SIGKILL; a spot node gives less
set -euo pipefail

if [ $# -lt 3 ] || [[ $2 != gs://* ]]; then
  echo "usage: CLUSTER=... xpk.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." >&2
  exit 2
fi
name=$1 workdir=${2%/}
shift 2
if [ -z "${CLUSTER:-}" ]; then
  echo "xpk.sh: CLUSTER must be the name of a cluster: see xpk cluster list" >&2
  exit 2
fi

# shellcheck source=/dev/null
. "$(dirname "$0")/dry_run.sh"

# Not the working tree: it holds environments and data.
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
code=$(mktemp -d)
trap 'rm -rf "$code"' EXIT
run git -C "$root" archive --format=tar --output="$code/hornet.tar" HEAD
run tar -xf "$code/hornet.tar" -C "$code"
run rm "$code/hornet.tar"

# `exec`, as xpk sends SIGTERM to one process only.
printf -v arguments ' %q' --workdir="$workdir" "$@"
command="pip install --quiet --retries=10 'jax[tpu]' --editable '.[prepare,gcs]' -c constraints.txt &&\
 exec python -m hornet_jax train$arguments"

# JobSet restarts on 42 and 127 to 255, which xpk always adds (a process killed by a signal), and
# on 75: saved, or a fault that a new start mends. On 1 and 2 the workload has failed for good.
run xpk workload create \
  --workload="$name" --cluster="$CLUSTER" \
  ${PROJECT:+"--project=$PROJECT"} ${ZONE:+"--zone=$ZONE"} \
  --tpu-type="${TPU_TYPE:-v5litepod-256}" --num-slices="${NUM_SLICES:-1}" \
  --base-docker-image="${BASE_IMAGE:-python:3.12}" --script-dir="$code" \
  --max-restarts="${MAX_RESTARTS:-1000}" --restart-on-exit-codes=75 \
  --termination-grace-period-seconds="${GRACE_SECONDS:-300}" \
  --command="$command"
