#!/usr/bin/env bash
# Trains on a TPU VM slice until the run is complete: asks the queue for the slice, runs one
# command on all its hosts, and asks again where a spot slice was taken away.
#   tpu_vm.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
# It runs on your machine, needs gcloud, sends the last commit of this repository, and deletes the
# slice in the end. Started again, it goes on with the slice that it finds.
#   DRY_RUN=1                   print the commands, in the order of a run without trouble
#   ZONE, PROJECT               gcloud's defaults if empty
#   ACCELERATOR=v5litepod-256   see `gcloud compute tpus accelerator-types list`
#   RUNTIME=v2-alpha-tpuv5-lite of the accelerator
#   SPOT=1                      empty: on demand
#   KEEP=                       1: keep the slice in the end, and pay for it
#   MAX_FAILURES=3              in a row, of a slice that was not taken away
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

complete() { run gcloud storage ls "$workdir/report.html" 2>/dev/null; }

create() {
  say "asking for $accelerator"
  tpus queued-resources create "$name" --node-id="$name" --accelerator-type="$accelerator" \
    --runtime-version="${RUNTIME:-v2-alpha-tpuv5-lite}" ${spot:+"--spot"}
}

state() {
  tpus queued-resources describe "$name" --format='value(state.state)' 2>/dev/null || true
}

delete() { tpus queued-resources delete "$name" --force --quiet; }

# The image's Python is older than 3.11: uv brings one.
set_up() {
  run git -C "$root" archive --format=tar.gz --output="$code/hornet.tar.gz" HEAD
  tpus tpu-vm scp "$code/hornet.tar.gz" "$name:hornet.tar.gz" --worker=all
  on_all_hosts 'set -e
    rm -rf ~/hornet && mkdir ~/hornet && tar -xzf ~/hornet.tar.gz -C ~/hornet && cd ~/hornet
    python3 -m pip install --quiet --user uv
    ~/.local/bin/uv venv --quiet --clear --python=3.12 ~/hornet-env
    ~/.local/bin/uv pip install --quiet --python ~/hornet-env/bin/python \
      "jax[tpu]" -r requirements.txt -c constraints.txt'
}

# What a lost connection may have left: two processes must not share a workdir. The brackets keep
# the pattern from matching this very command.
stop_leftovers() {
  # shellcheck disable=SC2016 # to be expanded there
  on_all_hosts 'pattern="[h]ornet_jax train"
    pkill -TERM -f "$pattern"
    for _ in $(seq 120); do pgrep -f "$pattern" >/dev/null || break; sleep 1; done
    pkill -KILL -f "$pattern"
    true'
}

train() { on_all_hosts "cd ~/hornet && ~/hornet-env/bin/python -m hornet_jax train$arguments"; }

if [ -n "${DRY_RUN:-}" ]; then
  for step in complete create state set_up stop_leftovers train complete; do "$step"; done
  [ -n "${KEEP:-}" ] || delete
  exit
fi

failures=0
ready= # whether this slice has the code
failed() {
  failures=$((failures + 1))
  say "failed, $failures in a row"
  if [ "$failures" -gt "${MAX_FAILURES:-3}" ]; then
    [ -n "${KEEP:-}" ] || delete
    say "given up; what went wrong is above"
    exit 1
  fi
  sleep "$poll"
}

until complete; do
  now=$(state)
  case $now in
    "")
      ready=
      create || failed
      ;;
    ACTIVE)
      if { [ -n "$ready" ] || set_up; } && ready=1 && stop_leftovers && train; then
        failures=0
        continue
      fi
      sleep "$poll" # until the queue knows of a slice that was taken away
      [ "$(state)" != ACTIVE ] || failed
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
say "complete: $workdir/report.html (to train longer, remove it first)"
[ -n "${KEEP:-}" ] || [ -z "$(state)" ] || delete
