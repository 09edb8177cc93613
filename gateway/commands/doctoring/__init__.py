"""The parts of `gateway doctor`."""
