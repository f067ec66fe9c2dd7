"""Every key of a run stands here, once, in the file of its section."""
