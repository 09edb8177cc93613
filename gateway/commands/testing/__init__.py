"""The parts of `gateway test`."""
