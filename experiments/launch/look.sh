#!/usr/bin/env bash
# Sourced by the launchers that hold a slice: `look WHAT COMMAND...` prints what COMMAND prints.
# It ends with 4 where the answer is that there is no WHAT. Anything else that goes wrong, such as
# a network or credentials, says nothing about WHAT: it is told in one line, and ends with 1.

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

say() { echo "$(basename "$0" .sh): $*" >&2; }

look() {
  local what=$1 status=0 told
  shift
  "$@" 2>"$scratch/error" || status=$?
  [ "$status" -ne 0 ] || return 0
  told=$(tr -s '[:space:]' ' ' <"$scratch/error")
  case $told in
    # Compute Engine's 404; Cloud TPU's status; gcloud storage. A project or a bucket that is not
    # found is not what was looked for.
    *"/$what' was not found"* | *NOT_FOUND*"/$what"* | *"matched no objects"*"$what"*) return 4 ;;
  esac
  say "cannot look for $what (exit status $status): $told"
  return 1
}
