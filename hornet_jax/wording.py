"""This module writes numbers with what they count."""


def counted(number: int, noun: str) -> str:
  """Writes a count: `1 channel`, `2 channels`, `1,000 classes`.

  Args:
    number: number of things.
    noun: word for one of them, whose plural is regular.
  """
  plural = f"{noun}es" if noun.endswith("s") else f"{noun}s"
  return f"{number:,} {noun if number == 1 else plural}"
