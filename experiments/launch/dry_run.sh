#!/usr/bin/env bash
# Sourced by the launchers: `run COMMAND...` runs it, or with DRY_RUN=1 prints it.

run() {
  if [ -n "${DRY_RUN:-}" ]; then
    printf '%q ' "$@"
    echo
  else
    "$@"
  fi
}
