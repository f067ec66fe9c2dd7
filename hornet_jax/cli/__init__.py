"""This room is the command line; each command is a module of its own."""
