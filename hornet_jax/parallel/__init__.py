"""This package makes many devices and processes act as one: mesh, shardings and rendezvous."""
