"""What a run starts from."""


def start_of(source):
  """Parameters and names of the classes of a `PretrainedModel`, for `initialize_from`."""
  return source.params, source.preprocessing.class_names
