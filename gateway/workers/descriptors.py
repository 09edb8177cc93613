"""Open files: as many as the system lets a process have, and whether they are enough."""

import resource

from gateway.config.schema import Config

_OTHERS = 64
"""Files that a process has open besides connections: standard streams, the store, logs, sockets that listen."""


def raise_limit() -> int:
    """Allow as many open files as a process may allow itself, and return how many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == hard or hard == resource.RLIM_INFINITY:  # macOS says infinity and means less
        return soft
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (OSError, ValueError):
        return soft
    return hard


def needed(config: Config) -> int:
    """Return how many files may be open at once in a process that does what the configuration allows."""
    upstreams = sum(len(upstream.targets) * upstream.connections for upstream in config.upstreams.values())
    return config.limits.connections + upstreams + _OTHERS
