"""Watching a gateway that runs, for `gateway top`."""
