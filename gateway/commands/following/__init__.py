"""Following decisions of a gateway that runs, for `gateway tail`."""
