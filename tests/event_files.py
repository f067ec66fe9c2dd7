"""What TensorBoard makes of event files."""

import struct

from tensorboardX.proto.event_pb2 import Event, SessionLog


def shown(folder):
  """What TensorBoard shows of its files: (step, loss)."""
  kept = []
  for path in sorted(folder.glob("*tfevents*")):
    content = path.read_bytes()
    while content:
      (length,) = struct.unpack("<Q", content[:8])
      event = Event.FromString(content[12 : 12 + length])
      content = content[16 + length :]
      if event.session_log.status == SessionLog.START:
        kept = [(step, loss) for step, loss in kept if step < event.step]
      kept += [(event.step, value.simple_value) for value in event.summary.value]
  return kept
