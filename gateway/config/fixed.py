"""What a running gateway cannot change about itself. Each of these needs a new process."""

from collections.abc import Iterator

from gateway.config.listeners import Listener
from gateway.config.mistakes import SettingPath
from gateway.config.schema import Config

Difference = tuple[SettingPath, str]


def needs_restart(old: Config, new: Config) -> list[Difference]:
    """Return the settings that differ and cannot be put in force while the process runs, each with the reason."""
    return [*_values(old, new), *_sessions(old, new), *_listeners(old.listen, new.listen)]


def _values(old: Config, new: Config) -> Iterator[Difference]:
    if old.workers != new.workers:
        yield ("workers",), "the number of processes is changed by a restart"
    if old.state != new.state:
        yield ("state",), "another store is used after a restart"
    for name in ("ops", "admin"):
        before, after = getattr(old, name), getattr(new, name)
        if (before is None) != (after is None):
            yield (name,), f"{name} is {'added' if before is None else 'removed'} by a restart"
        elif before is not None and before.address != after.address:
            yield (name, "address"), f"the address ({before.address}) is changed by a restart"
    if old.admin is not None and new.admin is not None and (old.admin.tls is None) != (new.admin.tls is None):
        yield ("admin", "tls"), f"TLS is {'added' if old.admin.tls is None else 'removed'} by a restart"


def _sessions(old: Config, new: Config) -> Iterator[Difference]:
    before, after = old.sessions, new.sessions
    if before is None or after is None:
        if before is not after:
            yield ("sessions",), f"sessions are {'added' if before is None else 'removed'} by a restart"
    elif before.key_file != after.key_file:
        yield (
            ("sessions", "key_file"),
            f"another key file is used after a restart; the content of {before.key_file} may change at any time",
        )


def _listeners(old: tuple[Listener, ...], new: tuple[Listener, ...]) -> Iterator[Difference]:
    before = {each.address: each for each in old}
    for index, listener in enumerate(new):
        former = before.pop(listener.address, None)
        if former is None:
            yield ("listen", index, "address"), f"{listener.address} is added by a restart"
        elif (former.tls is None) != (listener.tls is None):
            yield ("listen", index), f"TLS is {'added' if former.tls is None else 'removed'} by a restart"
    for address in before:
        yield ("listen",), f"{address} is removed by a restart"
