"""A decision that a gateway has kept, in words: what was asked, what the route wants, and what came of it."""

from collections.abc import Iterator, Mapping
from typing import Any

from gateway.config.mistakes import printable
from gateway.model.moments import distance, moment

Answer = Mapping[str, Any]
_NOTHING = (None, "", "\N{EN DASH}")


def as_text(answer: Answer, now: float) -> str:
    """Return the answer of `/decisions/{request_id}`, with the verdict at the end, where the eye is."""
    decision, route = answer["decision"], answer["route"]
    lines = ["Request", *_rows(_request(decision, now))]
    if route is not None:
        lines += ["", f"Route {route['id']}", *_rows(_route(route))]
    elif decision["route"] is not None:
        lines += ["", f"Route {decision['route']}", "  is not in the configuration any more, or is the gateway's own"]
    lines += ["", *_verdict(answer)]
    return "\n".join(printable(line) for line in lines)


def _rows(rows: Iterator[tuple[str, object]]) -> Iterator[str]:
    for title, value in rows:
        if value not in _NOTHING:
            yield f"  {title:10}{value}"


def _request(decision: Answer, now: float) -> Iterator[tuple[str, object]]:
    yield "id", decision["request_id"]
    yield "at", f"{moment(decision['time'])}, {distance(decision['time'], now)}"
    yield "asked", f"{decision['method']} {decision['path']}"
    yield "from", _listed(decision["client"], decision["protocol"], decision["user_agent"])
    yield "caller", _listed(decision["subject"], decision["authenticator"] and f"proven by {decision['authenticator']}")
    yield "claims", _listed(*(f"{name} = {value}" for name, value in (decision["claims"] or {}).items()))
    yield "token", decision["token_id"]
    yield "session", decision["session"]
    yield "upstream", _listed(decision["upstream"], decision["target"])
    added, upstream = decision["added_ms"], decision["upstream_ms"]
    parts = [f"{decision['duration_ms']:.1f} ms"]
    parts += [] if added is None else [f"{added:.1f} ms added"]
    parts += [] if upstream is None else [f"{upstream:.1f} ms upstream"]
    yield "took", ", ".join(parts)
    yield "trace", decision["trace_id"]


def _route(route: Answer) -> Iterator[tuple[str, object]]:
    methods = " ".join(route["methods"] or ["any method"])
    hosts = f" at {', '.join(route['hosts'])}" if route["hosts"] else ""
    yield "takes", f"{methods} {route['path']}{hosts}"
    yield "access", _listed(route["access"], *(f"by {name}" for name in route["authenticators"]))
    yield "token in", _listed(*route["token_from"])
    for words in route["require"]:
        yield "requires", words
    for words in route["rate_limits"]:
        yield "limit", words


def _verdict(answer: Answer) -> Iterator[str]:
    decision = answer["decision"]
    word = "ALLOW" if decision["outcome"] == "allow" else "DENY"
    yield f"{word}  {decision['status']} {decision['reason']}"
    for title, text in (("", decision["detail"]), ("means: ", answer["meaning"]), ("what to do: ", answer["advice"])):
        if text not in _NOTHING:
            yield f"      {title}{text}"


def _listed(*values: object) -> str:
    return ", ".join(str(value) for value in values if value not in _NOTHING)
