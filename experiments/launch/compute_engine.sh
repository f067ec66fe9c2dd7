#!/usr/bin/env bash
# Trains on a TPU slice of Compute Engine (v5p, v6e, TPU7x) until the run is complete: makes a
# managed instance group whose VMs are one slice by a workload policy, runs one command on all of
# them, and makes another group where the slice was taken away.
#   ZONE=... PROJECT=... TOPOLOGY=... compute_engine.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS...
# It runs on your machine, needs gcloud (with one process a host), sends the last commit of this
# repository, and deletes the group, its template and its policy in the end. Started again, it goes
# on with the slice that it finds. It never asks anything.
# Its exit status: 0 the run is complete, 2 you must act, 1 anything else that does not mend itself.
#   DRY_RUN=1                       print the commands, in the order of a run without trouble
#   ZONE, PROJECT, TOPOLOGY         must be set; the last such as 4x8 (v6e) or 4x4x4 (TPU7x, v5p)
#   MACHINE_TYPE=tpu7x-standard-4t  ct6e-standard-4t, ct5p-hightpu-4t ...: its chips divide TOPOLOGY
#   IMAGE_FAMILY                    that of the machine, of the project ubuntu-os-accelerator-images
#   PROVISIONING=spot               flex-start, reservation or standard (on demand)
#   MAX_RUN_DURATION=7d             of flex-start, which has no more; then it is asked for again
#   RESERVATION                     its name, or projects/OWNER/reservations/NAME
#   SUBNET                          the default network's if empty
#   DISK_SIZE=100GB                 of each host
#   KEEP=                           1: keep the slice in the end, and pay for it
#   MAX_FAILURES=3                  in a row without a further step, of a slice that was not taken
#   POLL_SECONDS=60                 between two looks at the group
#   PATIENCE=30                     looks at a slice that is not whole, before another one is made
# shellcheck disable=SC2154 # of look.sh and hosts.sh
set -euo pipefail

refuse() {
  echo "compute_engine.sh: $*" >&2
  exit 2
}

if [ $# -lt 3 ] || [[ $2 != gs://* ]]; then
  echo "usage: ZONE=... PROJECT=... TOPOLOGY=... \
compute_engine.sh NAME gs://BUCKET/RUN TRAIN_ARGUMENTS..." >&2
  exit 2
fi
name=$1 workdir=${2%/}
shift 2
for setting in ZONE PROJECT TOPOLOGY; do
  [ -n "${!setting:-}" ] || refuse "$setting must be set: see the head of this file"
done
machine=${MACHINE_TYPE:-tpu7x-standard-4t}
provisioning=${PROVISIONING:-spot}
region=${ZONE%-*}

[[ $TOPOLOGY =~ ^[1-9][0-9]*(x[1-9][0-9]*){1,2}$ ]] ||
  refuse "TOPOLOGY must be chips by chips, such as 4x8 or 4x4x4: got $TOPOLOGY"
[[ $machine =~ -([1-9][0-9]*)t(-tpu)?$ ]] ||
  refuse "MACHINE_TYPE must end with its number of chips, as tpu7x-standard-4t does: got $machine"
chips=$((${TOPOLOGY//x/*})) per_host=${BASH_REMATCH[1]}
[ $((chips % per_host)) -eq 0 ] ||
  refuse "the $chips chips of TOPOLOGY=$TOPOLOGY must be those of whole hosts: $machine has $per_host"
hosts=$((chips / per_host))

case $machine in
  tpu7x-*) family=ubuntu-accel-2404-amd64-tpu-tpu7x ;;
  *) family=ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e ;;
esac

# In bulk, all VMs come at once or none. Spot and on demand do not offer it.
together=(--default-action-on-vm-failure=do-nothing)
case $provisioning in
  spot) model=(--provisioning-model=SPOT --instance-termination-action=STOP) ;;
  flex-start)
    model=(--provisioning-model=FLEX_START --instance-termination-action=DELETE
      --max-run-duration="${MAX_RUN_DURATION:-7d}" --reservation-affinity=none)
    together+=(--target-size-policy-mode=bulk)
    ;;
  reservation)
    [ -n "${RESERVATION:-}" ] || refuse "PROVISIONING=reservation needs RESERVATION"
    model=(--provisioning-model=RESERVATION_BOUND --instance-termination-action=DELETE
      --reservation-affinity=specific --reservation="$RESERVATION")
    together+=(--target-size-policy-mode=bulk)
    ;;
  standard) model=(--provisioning-model=STANDARD) ;;
  *) refuse "PROVISIONING must be spot, flex-start, reservation or standard: got $provisioning" ;;
esac

# JAX finds the hosts of a slice by itself. Where it should not, none must train alone.
# shellcheck disable=SC2034 # of hosts.sh
printf -v arguments ' %q' --workdir="$workdir" --num_processes="$hosts" "$@"
here=$(dirname "$0")
# shellcheck disable=SC2034 # of hosts.sh
root=$(git -C "$here" rev-parse --show-toplevel)

# shellcheck source=/dev/null
. "$here/dry_run.sh"
# shellcheck source=/dev/null
. "$here/look.sh"
# shellcheck source=/dev/null
. "$here/hosts.sh"

compute() { run gcloud compute "$@" --project="$PROJECT" --quiet; }
group() { compute instance-groups managed "$@" --zone="$ZONE"; }

# One host needs no policy: nothing is to be connected.
policy=projects/$PROJECT/regions/$region/resourcePolicies/$name
[ "$hosts" -eq 1 ] || together+=(--workload-policy="$policy")

create_policy() {
  [ "$hosts" -gt 1 ] || return 0
  compute resource-policies create workload-policy "$name" --type=HIGH_THROUGHPUT \
    --accelerator-topology="$TOPOLOGY" --region="$region"
}

create() {
  say "asking for $TOPOLOGY, $hosts times $machine, $provisioning"
  create_policy &&
    compute instance-templates create "$name" --machine-type="$machine" \
      --image-project=ubuntu-os-accelerator-images --image-family="${IMAGE_FAMILY:-$family}" \
      --boot-disk-size="${DISK_SIZE:-100GB}" --scopes=cloud-platform \
      ${SUBNET:+"--subnet=$SUBNET" "--region=$region"} --maintenance-policy=TERMINATE \
      "${model[@]}" &&
    group create "$name" --size="$hosts" --template="$name" "${together[@]}" && return
  forget # or what is there stands in the way of the next try
  return 1
}

# What the group was made of.
forget() {
  compute instance-templates delete "$name" || true
  [ "$hosts" -eq 1 ] || compute resource-policies delete "$name" --region="$region" || true
}

delete() { group delete "$name" && forget; }

list() {
  look "$name" group list-instances "$name" \
    --format='csv[no-heading](instance.basename(),instanceStatus,currentAction)'
}

# A spot slice of which a host was stopped does not come back. Any other one is mended by Compute
# Engine, all of its hosts together.
describe() {
  local text host status action running=0 count=0 moving='' stopped=''
  text=$(list) || return
  if [ -n "${DRY_RUN:-}" ]; then
    echo "$text"
    return
  fi
  while IFS=, read -r host status action; do
    [ -n "$host" ] || continue
    count=$((count + 1))
    case $status,$action in
      RUNNING,NONE) running=$((running + 1)) ;;
      STOPPING,* | STOPPED,* | TERMINATED,* | SUSPEND*,*) stopped=1 ;;
      *,NONE) ;;
      *) moving=${action:-$status} ;;
    esac
  done <<<"$text"
  if [ "$running" -eq "$hosts" ] && [ "$count" -eq "$hosts" ]; then
    echo READY
  elif [ -n "$stopped" ] && [ "$provisioning" = spot ]; then
    echo LOST
  else
    echo "${moving:-INCOMPLETE}"
  fi
}

names() {
  local text
  if [ -n "${DRY_RUN:-}" ]; then
    echo "$name-HOST"
    return
  fi
  text=$(list) || return 1
  cut -d, -f1 <<<"$text"
}

connections=()
end_connections() {
  for pid in "${connections[@]}"; do kill -TERM -- "-$pid" 2>/dev/null || true; done
  rm -rf "$scratch"
}
trap end_connections EXIT

# `on_each HOSTS FUNCTION ARGUMENT` calls FUNCTION ARGUMENT HOST for all at once, each in a process
# group of its own, so that all of it ends with this script.
on_each() {
  local host pid ended status=0
  set -m
  for host in $1; do
    "$2" "$3" "$host" </dev/null &
    connections+=($!)
  done
  set +m
  for pid in "${connections[@]}"; do
    ended=0
    wait "$pid" || ended=$?
    [ "$status" -ne 0 ] || status=$ended
  done
  connections=()
  return "$status"
}

on_host() {
  compute ssh "$2" --zone="$ZONE" --command="$1" "${ssh_options[@]/#/--ssh-flag=}"
}

send_to() {
  compute scp "$1" "$2:$(basename "$1")" --zone="$ZONE" "${ssh_options[@]/#/--scp-flag=}"
}

on_all_hosts() {
  local all
  all=$(names) || return 1
  [ -z "${DRY_RUN:-}" ] || echo "# on each of the $hosts hosts:"
  on_each "$all" on_host "$1"
}

# To one host first: where the project does not know this machine's ssh key, gcloud adds it.
send() {
  local all
  all=$(names) || return 1
  [ -z "${DRY_RUN:-}" ] || echo "# to each of the $hosts hosts:"
  send_to "$1" "${all%%$'\n'*}" </dev/null || return
  [ "$all" = "${all#*$'\n'}" ] || on_each "${all#*$'\n'}" send_to "$1"
}

# shellcheck source=/dev/null
. "$here/recover.sh"
