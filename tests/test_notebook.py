"""The notebooks run from top to bottom, and are kept without outputs."""

import os
import pathlib
import shutil
import subprocess
import sys
import types

import nbformat
import pytest

ROOT = pathlib.Path(__file__).parents[1]
QUICKSTART = ROOT / "notebooks" / "quickstart.ipynb"
SCALING_LAWS = ROOT / "notebooks" / "scaling_laws.ipynb"


@pytest.mark.parametrize("path", [QUICKSTART, SCALING_LAWS])
def test_no_outputs_are_stored(path):
  notebook = nbformat.read(path, as_version=4)
  nbformat.validate(notebook)
  cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
  assert len(cells) > 10
  assert all(not cell.outputs and cell.execution_count is None for cell in cells)


def test_both_begin_alike():
  first, second = (
    [cell.source for cell in nbformat.read(path, as_version=4).cells][1:3]
    for path in (QUICKSTART, SCALING_LAWS)
  )
  assert first == second


def test_the_first_cell_asks_for_the_project_where_it_is_not(tmp_path, monkeypatch, capsys):
  """As in Colab, whose `files.upload` puts a file into the current folder; names have no prefix
  in the archives that git makes, and one in those of a website."""
  first = next(c for c in nbformat.read(QUICKSTART, as_version=4).cells if c.cell_type == "code")
  for prefix in ("", "hornet_jax-main"):
    here = tmp_path / f"in_{prefix}"
    project = here / "elsewhere" / prefix
    (project / "hornet_jax").mkdir(parents=True)
    shutil.copy(ROOT / "requirements.txt", project)

    def upload(here=here):
      return {shutil.make_archive(here / "hornet_jax", "zip", here / "elsewhere"): b""}

    colab = types.SimpleNamespace(files=types.SimpleNamespace(upload=upload))
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(here)
    scope = {}
    exec(first.source, scope)
    assert scope["root"] == here / "project" / prefix
    assert pathlib.Path.cwd() == scope["root"]
    assert "nothing, all was there" in capsys.readouterr().out


@pytest.mark.slow
def test_quickstart_runs(tmp_path):
  cells = execute(QUICKSTART, tmp_path)
  assert "nothing, all was there" in text_of(cells[0])
  printed = "".join(map(text_of, cells))
  accuracy = float(printed.split("accuracy ")[-1].split("%")[0])
  assert accuracy > 90
  assert float(printed.split("after one pass: ")[-1].split("%")[0]) > 80
  assert pictures(cells) == 6


@pytest.mark.slow
def test_scaling_laws_runs(tmp_path):
  cells = execute(SCALING_LAWS, tmp_path)
  printed = "".join(map(text_of, cells))
  assert "6 trials: 6 complete" in printed
  assert "8 trials: 8 complete" in printed
  assert printed.count("side the 95% interval") == 2  # inside or outside
  assert "1e24 FLOPs" in printed
  assert pictures(cells) == 4


def execute(notebook, tmp_path):
  """Runs it unchanged, in a kernel of its own, as its reader does, and returns its code cells."""
  out = tmp_path / "executed.ipynb"
  program = (
    "import nbclient, nbformat, sys\n"
    "notebook = nbformat.read(sys.argv[1], as_version=4)\n"
    "nbclient.NotebookClient(notebook, timeout=900).execute(cwd=sys.argv[3])\n"
    "nbformat.write(notebook, sys.argv[2])\n"
  )
  subprocess.run(
    [sys.executable, "-c", program, notebook, out, notebook.parent],
    check=True,
    env={**os.environ, "XLA_FLAGS": "", "PYTHONPATH": ""},
  )
  return [cell for cell in nbformat.read(out, as_version=4).cells if cell.cell_type == "code"]


def pictures(cells):
  return sum("image/png" in o.get("data", {}) for cell in cells for o in cell.outputs)


def text_of(cell):
  return "".join(output.get("text", "") for output in cell.outputs)
