#!/usr/bin/env bash
# Trains on a TPU VM slice until the run is complete: asks the queue for the slice, runs one
# command on all its hosts, and asks again where a spot slice was taken away.
#   tpu_vm.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
# It runs on your machine, needs gcloud, sends the last commit of this repository, and deletes the
# slice in the end. Started again, it goes on with the slice that it finds. Its exit status: 0 the
# run is complete, 2 you must act, 1 anything else that does not mend itself.
#   DRY_RUN=1                   print the commands, in the order of a run without trouble
#   ZONE, PROJECT               gcloud's defaults if empty
#   ACCELERATOR=v5litepod-256   see `gcloud compute tpus accelerator-types list`
#   RUNTIME=v2-alpha-tpuv5-lite of the accelerator
#   SPOT=1                      empty: on demand
#   KEEP=                       1: keep the slice in the end, and pay for it
#   MAX_FAILURES=3              in a row without a further step, of a slice that was not taken away
#   POLL_SECONDS=60             between two looks at the queue
set -euo pipefail

if [ $# -lt 3 ] || [[ $2 != gs://* ]]; then
  echo "usage: tpu_vm.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." >&2
  exit 2
fi
name=$1 workdir=${2%/}
shift 2
printf -v arguments ' %q' --workdir="$workdir" "$@"

accelerator=${ACCELERATOR:-v5litepod-256}
spot=${SPOT-1}
poll=${POLL_SECONDS:-60}
root=$(git -C "$(dirname "$0")" rev-parse --show-toplevel)
code=$(mktemp -d)
trap 'rm -rf "$code"' EXIT

say() { echo "tpu_vm: $*" >&2; }

# shellcheck source=/dev/null
. "$(dirname "$0")/dry_run.sh"

tpus() { run gcloud compute tpus "$@" ${ZONE:+"--zone=$ZONE"} ${PROJECT:+"--project=$PROJECT"}; }
on_all_hosts() { tpus tpu-vm ssh "$name" --worker=all --command="$1"; }

# How the last start of the run ended; nothing while one runs, or where it was killed.
result() { run gcloud storage cat "$workdir/result.json" 2>/dev/null || true; }
complete() { [[ $(result) == *'"complete": true'* ]]; }
step() { result | sed -n 's/.*"step": \([0-9]*\).*/\1/p'; }

create() {
  say "asking for $accelerator"
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator" \
    --runtime-version="${RUNTIME:-v2-alpha-tpuv5-lite}" ${spot:+"--spot"}
}

state() {
  tpus queued-resources describe "$name" --format='value(state.state)' 2>/dev/null || true
}

delete() { tpus queued-resources delete "$name" --force --quiet; }

# What a lost connection left running saves and ends first: two runs must not share a workdir.
# shellcheck disable=SC2016 # to be expanded there
stop_leftovers='leftover="^$HOME/hornet-env/bin/python -m hornet_jax train"
    if pkill -TERM -f "$leftover"; then
      for _ in $(seq 120); do pgrep -f "$leftover" >/dev/null || break; sleep 1; done
      pkill -KILL -f "$leftover" || true
    fi'

# The image's Python is older than 3.11: uv brings one.
set_up() {
  run git -C "$root" archive --format=tar.gz --output="$code/hornet.tar.gz" HEAD
  tpus tpu-vm scp "$code/hornet.tar.gz" "$name:hornet.tar.gz" --worker=all
  on_all_hosts "set -e
    $stop_leftovers
    rm -rf ~/hornet && mkdir ~/hornet && tar -xzf ~/hornet.tar.gz -C ~/hornet && cd ~/hornet
    python3 -m pip install --quiet --user uv
    ~/.local/bin/uv venv --quiet --clear --python=3.12 ~/hornet-env
    ~/.local/bin/uv pip install --quiet --python ~/hornet-env/bin/python \
      'jax[tpu]' --editable '.[prepare,gcs]' -c constraints.txt"
}

# gcloud ends with the first exit status of a host that is not 0. Its own failures are 1 as well,
# so a bug comes as 3. After a lost connection it repeats all of this by itself.
train() {
  on_all_hosts "$stop_leftovers
    cd ~/hornet || exit
    ~/hornet-env/bin/python -m hornet_jax train$arguments
    status=\$?
    [ \$status -ne 1 ] || status=3
    exit \$status"
}

if [ -n "${DRY_RUN:-}" ]; then
  for step in result create state set_up train; do "$step"; done
  [ -n "${KEEP:-}" ] || delete
  exit
fi

give_up() {
  [ -n "${KEEP:-}" ] || delete
  say "given up: $2"
  exit "$1"
}

failures=0
failed() {
  failures=$((failures + 1))
  say "failed, $failures in a row"
  [ "$failures" -le "${MAX_FAILURES:-3}" ] || give_up 1 "what went wrong is above"
  sleep "$poll"
}

# A slice that was taken away is no failure. The queue knows of it a little later.
failed_unless_taken() {
  sleep "$poll"
  [ "$(state)" != ACTIVE ] || failed
}

ready=     # whether this slice has the code
last_step= # at which a start was stopped, or met what a new start mends
until complete; do
  now=$(state)
  case $now in
    "")
      ready=
      create || failed
      ;;
    ACTIVE)
      if [ -z "$ready" ] && ! set_up; then
        failed_unless_taken
        continue
      fi
      ready=1
      status=0
      train || status=$?
      case $status in
        0) break ;;
        2) give_up 2 "the line above says what to do" ;;
        3) give_up 1 "a bug, see above" ;;
        75)
          stopped_at=$(step)
          if [ "$stopped_at" != "$last_step" ]; then
            failures=0
            last_step=$stopped_at
          else
            failed_unless_taken
          fi
          ;;
        *) failed_unless_taken ;; # a process killed, a connection lost (255), gcloud itself (1)
      esac
      ;;
    FAILED | SUSPENDED)
      say "the slice is $now"
      ready=
      delete || failed
      ;;
    *) # in the queue, or about to go
      say "the slice is $now"
      sleep "$poll"
      ;;
  esac
done
say "complete: $workdir/result.json (to train longer, remove it first)"
[ -n "${KEEP:-}" ] || [ -z "$(state)" ] || delete
