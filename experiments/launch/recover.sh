#!/usr/bin/env bash
# shellcheck disable=SC2154 # set by the launchers
# Sourced by the launchers that hold a slice, as their last act: trains until the run is complete,
# and asks for another slice where one was taken away. They set `name` and `workdir` and define
#   create, delete  the slice
#   describe        prints READY, LOST (to be deleted), INCOMPLETE (LOST if it stays so) or what it
#                   waits for; ends as `look` does
# The exit status: 0 the run is complete, 2 you must act, 1 anything else that does not mend itself.

poll=${POLL_SECONDS:-60}
patience=${PATIENCE:-30}

# How the last start of the run ended; nothing while one runs, or where it was killed.
result() { look "$workdir/result.json" run gcloud storage cat "$workdir/result.json" --quiet; }

# `known COMMAND` prints nothing where there is nothing to look at, and fails where that is unknown.
known() {
  local status=0
  "$@" || status=$?
  [ "$status" -eq 0 ] || [ "$status" -eq 4 ]
}

if [ -n "${DRY_RUN:-}" ]; then
  for step in result create describe set_up train; do "$step"; done
  [ -n "${KEEP:-}" ] || delete
  exit
fi

clean_up() {
  local now
  [ -z "${KEEP:-}" ] || return 0
  now=$(known describe) || now=UNKNOWN
  [ -z "$now" ] || delete || say "$name was not deleted: see to it, it may cost money"
}

give_up() {
  clean_up
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

# A slice that was taken away is no failure. The cloud tells it a little later.
failed_unless_taken() {
  local now
  sleep "$poll"
  now=$(known describe) || now=UNKNOWN
  case $now in READY | UNKNOWN) failed ;; esac
}

unseen= # looks in a row that failed: nothing where none was made
cannot_see() {
  if [ -z "$unseen" ]; then
    say "nothing was asked for"
    exit 2
  fi
  unseen=$((unseen + 1))
  [ "$unseen" -le "${MAX_FAILURES:-3}" ] || give_up 1 "what could not be looked for is above"
  sleep "$poll"
}

ready=       # whether this slice has the code
last_step=   # at which a start was stopped, or met what a new start mends
incomplete=0 # looks in a row
while true; do
  if ! told=$(known result) || ! now=$(known describe); then
    cannot_see
    continue
  fi
  unseen=0
  [[ $told != *'"complete": true'* ]] || break
  [ "$now" = INCOMPLETE ] || incomplete=0
  case $now in
    "")
      ready=
      create || failed
      ;;
    READY)
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
          stopped_at=$(known result | sed -n 's/.*"step": \([0-9]*\).*/\1/p') || stopped_at=
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
    LOST)
      say "the slice is lost"
      ready=
      delete || failed
      ;;
    INCOMPLETE)
      say "the slice is not whole"
      incomplete=$((incomplete + 1))
      if [ "$incomplete" -ge "$patience" ]; then
        incomplete=0 ready=
        delete || failed
      else
        sleep "$poll"
      fi
      ;;
    *) # asked for, or about to go
      say "the slice is $now"
      sleep "$poll"
      ;;
  esac
done
say "complete: $workdir/result.json (to train longer, remove it first)"
clean_up
