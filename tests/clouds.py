"""A gcloud of our own, which plays the cloud to the launchers that hold a slice.

It keeps what is there in a folder, and runs on this machine what is sent to the hosts.
"""

import pathlib
import subprocess

from launching import TRAIN, bash, program

# `state`: of the slice, in Cloud TPU's words; `failing`: how many looks fail, with `message`.
# A host whose slice is gone answers with 255.
GCLOUD = r"""
printf '%s\n' "${*@Q}" >>"$PLAY/commands"
note() { echo "$1" >>"$PLAY/log"; }
state=$(cat "$PLAY/state" 2>/dev/null)
look() {
  left=$(cat "$PLAY/failing" 2>/dev/null || echo 0)
  if [ "$left" -gt 0 ]; then
    echo $((left - 1)) >"$PLAY/failing"
    cat "$PLAY/message" >&2
    exit 1
  fi
  [ "$state" != PROVISIONING ] || echo ACTIVE >"$PLAY/state"
}
run_on() {
  for word; do [[ $word != --command=* ]] || command=${word#--command=}; done
  HOST=$1 HOME=$PLAY/host bash -c "$command" && status=0 || status=$?
  [ "$(cat "$PLAY/state")" = ACTIVE ] || exit 255
  exit $status
}
case "$*" in
  "storage cat gs://b/r/result.json --quiet")
    if [ -e "$PLAY/result.json" ]; then cat "$PLAY/result.json"; exit; fi
    echo "ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:" >&2
    echo "-gs://b/r/result.json" >&2
    exit 1 ;;
  *" queued-resources describe "*) look
    if [ -n "$state" ]; then echo "$state"; exit; fi
    echo "ERROR: (gcloud.compute.tpus.queued-resources.describe) NOT_FOUND: Resource" \
      "'projects/p/locations/z/queuedResources/run-a' was not found" >&2
    exit 1 ;;
  *" list-instances "*) look
    case $state in
      ACTIVE) printf 'run-a-%s,RUNNING,NONE\n' 0 1 ;;
      PROVISIONING) printf 'run-a-%s,,CREATING\n' 0 1 ;;
      SUSPENDED) printf 'run-a-0,TERMINATED,NONE\nrun-a-1,RUNNING,NONE\n' ;;
      HALF) echo run-a-0,RUNNING,NONE ;;
      *) echo "ERROR: (gcloud.compute.instance-groups.managed.list-instances) Some requests did" \
          "not succeed:" >&2
        echo " - The resource 'projects/p/zones/z/instanceGroupManagers/run-a' was not found" >&2
        exit 1 ;;
    esac ;;
  *" queued-resources create "* | *" managed create "*)
    [ ! -e "$PLAY/no_quota" ] || { echo "ERROR: no quota" >&2; exit 1; }
    note create; echo PROVISIONING >"$PLAY/state" ;;
  *" queued-resources delete "* | *" managed delete "*) note delete; rm "$PLAY/state" ;;
  *" resource-policies create "* | *" instance-templates create "*) echo "$4" >>"$PLAY/rest" ;;
  *" resource-policies delete "* | *" instance-templates delete "*) rm -f "$PLAY/rest" ;;
  *" tpu-vm scp "* | *" scp "*run-a-0:*) note scp ;;
  "compute tpus tpu-vm ssh run-a "*"hornet_jax train"*--workdir=gs://b/r*) run_on 0 "$@" ;;
  "compute ssh run-a-"*"hornet_jax train"*--workdir=gs://b/r*) run_on "${3#run-a-}" "$@" ;;
esac
"""
# `hornet train`: acts are STATUS, STATUS@STEP where it writes result.json, `preempted`, or
# `stays`. The other hosts end as host 0 does.
TRAINING = r"""
end() { [ ! -p "$PLAY/host/ended" ] || echo "$1" >"$PLAY/host/ended"; exit "$1"; }
if [ "$HOST" != 0 ]; then read -r status <"$PLAY/host/ended"; exit "$status"; fi
rm -f "$PLAY/result.json"
read -r act <"$PLAY/acts"
sed -i 1d "$PLAY/acts"
echo "act $act" >>"$PLAY/log"
if [ "$act" = preempted ]; then echo SUSPENDED >"$PLAY/state"; end 0; fi
if [ "$act" = stays ]; then echo $$ >"$PLAY/training"; exec sleep 600; fi
status=${act%@*}
complete=$([ "$status" = 0 ] && echo true || echo false)
if [[ $act == *@* ]]; then
  printf '{"complete": %s, "step": %s, "total_steps": 9}' "$complete" "${act#*@}" \
    >"$PLAY/result.json"
fi
end "$status"
"""
SETTINGS = {
  "tpu_vm.sh": {},
  "compute_engine.sh": {"ZONE": "us-central1-c", "PROJECT": "p", "TOPOLOGY": "2x2x2"},
}


class Play:
  """A launcher against a cloud that lets each start of training end as told."""

  def __init__(self, launcher: str, folder: pathlib.Path):
    self.launcher, self.folder = launcher, folder
    (folder / "host" / "hornet").mkdir(parents=True)
    program(folder / "host" / "hornet-env" / "bin", "python", TRAINING)
    self._path = program(folder / "bin", "gcloud", GCLOUD)
    if launcher == "compute_engine.sh":
      subprocess.run(["mkfifo", folder / "host" / "ended"], check=True)

  def variables(self, *acts, **variables):
    (self.folder / "acts").write_text("".join(f"{act}\n" for act in acts))
    settings = {"PATH": self._path, "PLAY": str(self.folder), "POLL_SECONDS": "0"}
    return settings | SETTINGS[self.launcher] | variables

  def __call__(self, *acts, **variables):
    """Returns the ended launcher and what became of slice and training."""
    variables = self.variables(*acts, **variables)
    child = bash(self.launcher, "run-a", "gs://b/r", *TRAIN, check=False, **variables)
    return child, self.events()

  def events(self):
    log = self.folder / "log"
    return [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []

  def fail(self, times, message):
    """The next looks at the slice fail."""
    (self.folder / "failing").write_text(str(times))
    (self.folder / "message").write_text(message)
