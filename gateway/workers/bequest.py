"""How a worker is told what it inherits. `inheritance` reads it; the parent need not know how."""

from collections.abc import Sequence

from gateway.workers.plan import Sockets


def socket_arguments(slots: Sequence[Sockets]) -> list[str]:
    """Return the arguments that tell a worker the sockets of all slots."""
    words = []
    for address in slots[0]:
        descriptors = dict.fromkeys(str(slot[address]) for slot in slots)
        words += ["--socket", f"{address}={','.join(descriptors)}"]
    return words


def shelf_arguments(descriptors: Sequence[int]) -> list[str]:
    """Return the arguments that tell a worker what it shares with the others."""
    return ["--shelf", ",".join(map(str, descriptors))] if descriptors else []
