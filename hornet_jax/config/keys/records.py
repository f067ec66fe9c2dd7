"""What a run logs, evaluates and keeps."""

from hornet_jax.config.key import AT_LEAST_ONE, NOT_NEGATIVE, POSITIVE, Key, operation

RECORDS: dict[str, Key] = {
  "log.every_steps": operation(50, "Steps from one log line to the next.", AT_LEAST_ONE, fits=True),
  "log.profile_steps": operation(
    0,
    "Steps, after the first of each start, that are traced for xprof into profile/.",
    NOT_NEGATIVE,
    before=0,
  ),
  "eval.every_epochs": operation(
    10.0,
    "Epochs from one evaluation to the next; the end is always evaluated.",
    POSITIVE,
    fits=True,
  ),
  "eval.also": operation((), "Further sets with the same classes, as NAME/SPLIT.", before=()),
  "checkpoint.every_steps": operation(
    1000,
    "Steps from one checkpoint to the next; what was evaluated, the end and a stop are always "
    "saved.",
    AT_LEAST_ONE,
  ),
  "checkpoint.keep": operation(3, "Newest checkpoints that are kept.", AT_LEAST_ONE),
  "checkpoint.keep_best": operation(
    1,
    "Best checkpoints that are kept besides, by the number that ranks them, such as top-1 or mean "
    "IoU, of the averaged weights.",
    NOT_NEGATIVE,
    before=1,
  ),
  "checkpoint.branch_epochs": operation(
    (),
    "Lengths, in epochs, of runs that are to branch off: the checkpoints of the steps at which "
    "they cool down are saved, and kept besides.",
    POSITIVE,
    before=(),
  ),
  "checkpoint.on_full_disk": operation(
    "stop",
    "What a save that finds no space does: stop, or continue from the last good checkpoint on, "
    "which stays either way. The checkpoint of the end has to be saved.",
    choices=("stop", "continue"),
    before="stop",
  ),
}
