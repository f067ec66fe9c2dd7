#!/usr/bin/env bash
# v6e and older: trains on a TPU VM slice of the Cloud TPU API until the run is complete. That API
# and its queue are maintained only and have no TPU7x: compute_engine.sh is for v5p, v6e and TPU7x.
# Asks the queue for the slice, runs one command on all its hosts, and asks again where a spot
# slice was taken away.
#   tpu_vm.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
# It runs on your machine, needs gcloud, sends the last commit of this repository, and deletes the
# slice in the end. Started again, it goes on with the slice that it finds. It never asks anything.
# Its exit status: 0 the run is complete, 2 you must act, 1 anything else that does not mend itself.
#   DRY_RUN=1                   print the commands, in the order of a run without trouble
#   ZONE, PROJECT               gcloud's defaults if empty
#   ACCELERATOR=v5litepod-256   see `gcloud compute tpus accelerator-types list`
#   RUNTIME=v2-alpha-tpuv5-lite of the accelerator
#   SPOT=1                      empty: on demand
#   KEEP=                       1: keep the slice in the end, and pay for it
#   MAX_FAILURES=3              in a row without a further step, of a slice that was not taken away
#   POLL_SECONDS=60             between two looks at the queue
# shellcheck disable=SC2154 # of look.sh and hosts.sh
set -euo pipefail

if [ $# -lt 3 ] || [[ $2 != gs://* ]]; then
  echo "usage: tpu_vm.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." >&2
  exit 2
fi
name=$1 workdir=${2%/}
shift 2
# shellcheck disable=SC2034 # of hosts.sh
printf -v arguments ' %q' --workdir="$workdir" "$@"

accelerator=${ACCELERATOR:-v5litepod-256}
spot=${SPOT-1}
here=$(dirname "$0")
# shellcheck disable=SC2034 # of hosts.sh
root=$(git -C "$here" rev-parse --show-toplevel)

# shellcheck source=/dev/null
. "$here/dry_run.sh"
# shellcheck source=/dev/null
. "$here/look.sh"
# shellcheck source=/dev/null
. "$here/hosts.sh"

tpus() {
  run gcloud compute tpus "$@" ${ZONE:+"--zone=$ZONE"} ${PROJECT:+"--project=$PROJECT"} --quiet
}

# After a lost connection gcloud repeats a command by itself.
on_all_hosts() {
  tpus tpu-vm ssh "$name" --worker=all --command="$1" "${ssh_options[@]/#/--ssh-flag=}"
}

send() {
  tpus tpu-vm scp "$1" "$name:$(basename "$1")" --worker=all "${ssh_options[@]/#/--scp-flag=}"
}

create() {
  say "asking for $accelerator"
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator" \
    --runtime-version="${RUNTIME:-v2-alpha-tpuv5-lite}" ${spot:+"--spot"}
}

describe() {
  look "$name" tpus queued-resources describe "$name" --format='value(state.state)' |
    sed -E 's/^ACTIVE$/READY/; s/^(FAILED|SUSPENDED)$/LOST/'
}

delete() { tpus queued-resources delete "$name" --force; }

# shellcheck source=/dev/null
. "$here/recover.sh"
