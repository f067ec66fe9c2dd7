"""Numbers with what they count, as a person reads them."""

from hornet_jax.wording import counted


def test_one_is_no_plural():
  assert counted(1, "channel") == "1 channel"
  assert counted(0, "image") == "0 images"
  assert counted(1, "class") == "1 class"
  assert counted(1000, "class") == "1,000 classes"
