"""What is learned, and for how long."""

from hornet_jax.config.key import NOT_NEGATIVE, POSITIVE, Key, operation

VERSION = 1
"""The version is raised where a key gets another name, type or meaning; see `upgrade`.

A new key needs none: it says by `Key.before` what runs did without it.
"""

RUN: dict[str, Key] = {
  "version": Key(VERSION, "Version of the keys, set by the program.", official=False),
  "task": Key(
    "classification",
    "Name of the task: what is learned.",
    official=False,  # there is no other
    before="classification",
  ),
  "imports": operation(
    (),
    "Python modules that are imported first, from the current folder or installed: they register "
    "models and tasks of your own.",
    before=(),
  ),
  "seed": Key(0, "Seed of initial weights, order, augmentation and drop path.", NOT_NEGATIVE),
  "epochs": Key(
    300.0,
    "Passes over the N images that are trained on: the run has epochs * floor(N / B) steps.",
    POSITIVE,
    may_change=True,
    fits=True,
  ),
}
