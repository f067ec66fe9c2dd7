"""This room compiles programs without their devices, and reads what the compiler writes."""
