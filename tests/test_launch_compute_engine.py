"""compute_engine.sh: what it would make of each setting, and slices that are not whole.

How it recovers: test_launch_recovery.py.
"""

import clouds
import pytest
from launching import ROOT, TRAIN, bash, commands, program

SETTINGS = {"ZONE": "us-central1-c", "PROJECT": "p", "TOPOLOGY": "4x4x4"}
EVERYWHERE = ["--project=p", "--quiet"]
ZONE = ["--zone=us-central1-c", *EVERYWHERE]


def dry_run(**variables):
  return commands("compute_engine.sh", "run-a", "gs://b/r/", *TRAIN, **(SETTINGS | variables))


def test_dry_run():
  """Every command that makes, uses and deletes a slice, in order."""
  check, policy, template, group, look, archive, copy, set_up, train, *delete = dry_run()
  assert check == ["gcloud", "storage", "cat", "gs://b/r/result.json", "--quiet"]
  compute = ["gcloud", "compute"]
  assert policy == [
    *(*compute, "resource-policies", "create", "workload-policy", "run-a"),
    *("--type=HIGH_THROUGHPUT", "--accelerator-topology=4x4x4", "--region=us-central1"),
    *EVERYWHERE,
  ]
  assert template == [
    *(*compute, "instance-templates", "create", "run-a", "--machine-type=tpu7x-standard-4t"),
    "--image-project=ubuntu-os-accelerator-images",
    "--image-family=ubuntu-accel-2404-amd64-tpu-tpu7x",
    *("--boot-disk-size=100GB", "--scopes=cloud-platform", "--maintenance-policy=TERMINATE"),
    *("--provisioning-model=SPOT", "--instance-termination-action=STOP", *EVERYWHERE),
  ]
  managed = [*compute, "instance-groups", "managed"]
  assert group == [
    *(*managed, "create", "run-a", "--size=16", "--template=run-a"),
    "--default-action-on-vm-failure=do-nothing",
    "--workload-policy=projects/p/regions/us-central1/resourcePolicies/run-a",
    *ZONE,
  ]
  columns = "csv[no-heading](instance.basename(),instanceStatus,currentAction)"
  assert look == [*managed, "list-instances", "run-a", f"--format={columns}", *ZONE]
  file = archive[-2].removeprefix("--output=")
  assert archive == ["git", "-C", str(ROOT), "archive", "--format=tar.gz", archive[-2], "HEAD"]
  options = ["-oBatchMode=yes", "-oServerAliveInterval=60"]
  assert copy == [
    *(*compute, "scp", file, "run-a-HOST:hornet.tar.gz", ZONE[0]),
    *(f"--scp-flag={option}" for option in options),
    *EVERYWHERE,
  ]
  for command in (set_up, train):
    assert command[:5] == [*compute, "ssh", "run-a-HOST", ZONE[0]]
    assert command[5].startswith("--command=")
    assert command[6:] == [*(f"--ssh-flag={option}" for option in options), *EVERYWHERE]
  assert (
    "~/hornet-env/bin/python -m hornet_jax train --workdir=gs://b/r --num_processes=16 "
    r"--config=configs/imagenet1k.py:variant=tiny_gf --config.data.data_dir=gs://b/a\ dir"
  ) in [line.strip() for line in train[5].splitlines()]
  assert delete == [
    [*managed, "delete", "run-a", *ZONE],
    [*compute, "instance-templates", "delete", "run-a", *EVERYWHERE],
    [*compute, "resource-policies", "delete", "run-a", "--region=us-central1", *EVERYWHERE],
  ]


# Provisioning -> flags of the template, and whether all VMs come at once.
PROVISIONING = {
  "spot": (["SPOT", "--instance-termination-action=STOP"], False),
  "standard": (["STANDARD"], False),
  "flex-start": (
    [
      *("FLEX_START", "--instance-termination-action=DELETE"),
      *("--max-run-duration=7d", "--reservation-affinity=none"),
    ],
    True,
  ),
  "reservation": (
    [
      *("RESERVATION_BOUND", "--instance-termination-action=DELETE"),
      *("--reservation-affinity=specific", "--reservation=projects/o/reservations/r"),
    ],
    True,
  ),
}


@pytest.mark.parametrize("provisioning", PROVISIONING)
def test_provisioning(provisioning):
  flags, bulk = PROVISIONING[provisioning]
  lines = dry_run(PROVISIONING=provisioning, RESERVATION="projects/o/reservations/r")
  template, group = lines[2:4]
  start = template.index("--maintenance-policy=TERMINATE") + 1
  assert template[start:] == [f"--provisioning-model={flags[0]}", *flags[1:], *EVERYWHERE]
  assert ("--target-size-policy-mode=bulk" in group) == bulk
  # A slice is mended as a whole, or not at all.
  assert "--default-action-on-vm-failure=do-nothing" in group


@pytest.mark.parametrize(
  ("machine", "topology", "hosts", "family"),
  [
    ("tpu7x-standard-4t", "2x2x2", 2, "ubuntu-accel-2404-amd64-tpu-tpu7x"),
    ("ct6e-standard-4t", "16x16", 64, "ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"),
    ("ct6e-standard-4t-tpu", "4x4", 4, "ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"),
    ("ct5p-hightpu-4t", "4x4x8", 32, "ubuntu-accel-2204-amd64-tpu-v5e-v5p-v6e"),
  ],
)
def test_hosts_and_image_are_those_of_the_machine(machine, topology, hosts, family):
  lines = dry_run(MACHINE_TYPE=machine, TOPOLOGY=topology)
  assert f"--image-family={family}" in lines[2]
  assert f"--size={hosts}" in lines[3]
  assert f"--num_processes={hosts}" in lines[8][5]


def test_one_host_needs_no_policy():
  lines = dry_run(MACHINE_TYPE="ct6e-standard-8t", TOPOLOGY="2x4", KEEP="1", SUBNET="s")
  assert not any("policy" in word for words in lines for word in words[:6])
  template, group = lines[1:3]
  assert {"--subnet=s", "--region=us-central1"} <= set(template)
  assert "--size=1" in group
  assert not any(word.startswith("--workload-policy") for word in group)
  assert not any("delete" in words for words in lines)


@pytest.mark.parametrize(
  ("settings", "said"),
  [
    ({"ZONE": ""}, "ZONE must be set"),
    ({"PROJECT": ""}, "PROJECT must be set"),
    ({"TOPOLOGY": ""}, "TOPOLOGY must be set"),
    ({"TOPOLOGY": "v6e-32"}, "TOPOLOGY must be chips by chips, such as 4x8 or 4x4x4: got v6e-32"),
    ({"MACHINE_TYPE": "n2-standard-8"}, "MACHINE_TYPE must end with its number of chips"),
    ({"TOPOLOGY": "2x1"}, "the 2 chips of TOPOLOGY=2x1 must be those of whole hosts"),
    ({"PROVISIONING": "reservation"}, "PROVISIONING=reservation needs RESERVATION"),
    ({"PROVISIONING": "preemptible"}, "PROVISIONING must be spot, flex-start, reservation or"),
  ],
)
def test_settings_that_make_no_sense_are_refused(settings, said):
  settings = SETTINGS | settings
  child = bash("compute_engine.sh", "a", "gs://b/r", *TRAIN, check=False, DRY_RUN="1", **settings)
  assert (child.returncode, child.stdout) == (2, "")
  assert child.stderr.startswith(f"compute_engine.sh: {said}")
  assert len(child.stderr.splitlines()) == 1


@pytest.fixture
def play(tmp_path):
  return clouds.Play("compute_engine.sh", tmp_path)


def test_a_slice_that_stays_incomplete_is_made_anew(play):
  """As after the last day of flex-start."""
  (play.folder / "state").write_text("HALF\n")
  child, events = play("0@9", PATIENCE="3", PROVISIONING="flex-start")
  assert (child.returncode, events) == (0, ["delete", "create", "scp", "act", "delete"])
  assert child.stderr.count("the slice is not whole") == 3


def test_compute_engine_mends_what_is_not_spot(play):
  """A stopped host of a slice on demand is waited for, that of a spot slice is not."""
  (play.folder / "state").write_text("SUSPENDED\n")
  child, events = play("0@9", PATIENCE="2", PROVISIONING="standard")
  assert (child.returncode, events) == (0, ["delete", "create", "scp", "act", "delete"])
  assert child.stderr.count("the slice is not whole") == 2
  assert "the slice is lost" not in child.stderr


def test_what_is_left_of_a_group_that_could_not_be_made_is_deleted(play):
  """It would stand in the way of the next try, by its name."""
  (play.folder / "no_quota").touch()
  child, events = play(MAX_FAILURES="1")
  assert (child.returncode, events) == (1, [])
  assert not (play.folder / "rest").exists()
  assert child.stderr.count("ERROR: no quota") == 2
  assert "given up" in child.stderr


def test_a_policy_that_cannot_be_made_makes_no_group(play):
  """Its hosts would not be connected."""
  gcloud = play.folder / "bin" / "gcloud"
  text = gcloud.read_text()
  failing = '*" resource-policies create "*) exit 1 ;;\n  *" queued-resources describe "*)'
  gcloud.write_text(text.replace('*" queued-resources describe "*)', failing, 1))
  child, events = play(MAX_FAILURES="0")
  assert (child.returncode, events) == (1, [])


@pytest.mark.parametrize("host", [0, 1])
def test_a_host_that_fails_is_not_hidden_by_one_that_does_not(play, host):
  text = f'[ "$HOST" = {host} ] || exit 0\necho act >>"$PLAY/log"\nexit 2'
  program(play.folder / "host" / "hornet-env" / "bin", "python", text)
  child, events = play()
  assert (child.returncode, events) == (2, ["create", "scp", "act", "delete"])
