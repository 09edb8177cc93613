"""Prints the words of docs/errors.md for each reason, as JSON: `make docs` puts them where the console finds them."""

import json
import re
import sys
from pathlib import Path

_ERRORS = Path(__file__).parents[1] / "errors.md"
_NOTHING = "\N{EN DASH}"
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_PASSED = {
    "allow": "it went on to the upstream",
    "allow_stale": "it went on, although the news of revocations was too old: the route says so (`when_stale`)",
    "preflight": "a CORS preflight that the gateway answered",
}
"""They are no errors."""


def reasons() -> dict[str, dict[str, str]]:
    """Return meaning and advice by reason; the advice is empty where there is nothing to do."""
    found = {name: {"meaning": meaning, "advice": ""} for name, meaning in _PASSED.items()}
    for line in _ERRORS.read_text("utf-8").splitlines():
        if line.startswith("| `"):
            names, _, meaning, advice = (cell.strip() for cell in line.strip().strip("|").split("|"))
            for name in re.findall(r"`([a-z_]+)`", names):
                found[name] = {"meaning": _plain(meaning), "advice": _plain(advice)}
    return found


def _plain(text: str) -> str:
    return "" if text == _NOTHING else _LINK.sub(r"\1", text)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(reasons(), ensure_ascii=False, indent=2) + "\n")
