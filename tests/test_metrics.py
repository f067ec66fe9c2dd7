"""The record of a run survives restarts."""

import json

from etils import epath

from hornet_jax.train.metrics import MetricsLog, read_records


def test_records_after_the_checkpoint_are_dropped(tmp_path):
  workdir = epath.Path(tmp_path)
  log = MetricsLog(workdir, start_step=0)
  for step in (10, 20, 30):
    log.write(step, {"train/loss": 1.0 / step})
  log.close()
  resumed = MetricsLog(workdir, start_step=20)
  resumed.write(25, {"train/loss": 0.5})
  resumed.close()
  records = read_records(workdir)
  assert [record["step"] for record in records] == [10, 20, 25]
  seconds = [record["seconds"] for record in records]
  assert seconds == sorted(seconds)


def test_a_kill_while_writing_leaves_the_previous_file(tmp_path):
  workdir = epath.Path(tmp_path)
  log = MetricsLog(workdir, start_step=0)
  log.write(1, {"train/loss": 2.0})
  log.close()
  (tmp_path / "metrics.jsonl.partial").write_text('{"step": 2, "tra')
  assert [record["step"] for record in read_records(workdir)] == [1]
  lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
  assert json.loads(lines[0])["train/loss"] == 2.0
