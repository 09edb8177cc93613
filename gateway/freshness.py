"""Whether the compiled modules of a checkout are those of its sources. An installed gateway has nothing to compare."""

import os.path

_ROOT = os.path.dirname(os.path.dirname(__file__))
_STAMP = "gateway/compiled.sha256"
"""What `hatch_build.py` writes when it compiles in the checkout: a hash and a path in each line."""


def outdated(root: str = _ROOT) -> str | None:
    """Return what to do if compiled modules would run that are not of these sources, None if all is well."""
    stamp = os.path.join(root, _STAMP)
    if not os.path.exists(stamp):
        return None
    from hashlib import sha256  # only a checkout comes this far

    with open(stamp, encoding="utf-8") as lines:
        for line in lines:
            wanted, _, name = line.strip().partition("  ")
            if not wanted.startswith("#") and sha256(_content(root, name)).hexdigest() != wanted:
                return f"{name} has changed since it was compiled: run `make compiled`, or `make pure` to do without"
    return None


def _content(root: str, name: str) -> bytes:
    try:
        with open(os.path.join(root, name), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""
