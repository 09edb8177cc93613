"""The upper lines of `gateway top`: each says one thing of the whole gateway."""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final

from gateway.commands.watching.cells import Cell, Row, alarming, bold, label, plain
from gateway.commands.watching.numbers import count, duration, rate, size
from gateway.commands.watching.view import View
from gateway.config.mistakes import printable
from gateway.model.moments import distance

_STALE: Final = 10.0
"""Seconds after which news of revocations are worth a look."""
_DURATIONS: Final = {"added": "added", "upstream": "upstream", "request": "whole"}


def summary(view: View) -> Iterator[Row]:
    gateway, refused, requests = view["gateway"], view["refused"], view["requests"]
    issuer = printable(gateway["issuer"] or "")
    clock = datetime.fromtimestamp(view["at"], UTC).strftime("%H:%M:%S UTC")
    yield bold(f"gateway {printable(gateway['version'])}"), plain(f"  {clock}  {issuer}")
    cpu, memory = f"cpu {view['cpu_share'] * 100:.0f} %", f"memory {size(view['memory_bytes'])}"
    yield (*_workers(view["workers"]), *_reload(view), plain(f"{cpu}   {memory}"))
    by_status = _listed(requests["by_status"])
    yield label("requests"), bold(f"{rate(requests['per_second'])}/s"), plain(f"   {by_status}")
    share = f"   {refused['share'] * 100:.1f} % of all, in {view['over_seconds']:.0f} s"
    yield label("refused"), alarming(f"{rate(refused['per_second'])}/s", refused["per_second"] > 0), plain(share)
    traffic, held = view["bytes_per_second"], (view["connections"], view["tunnels"])
    moved = f"in {size(traffic['in'])}/s   out {size(traffic['out'])}/s"
    yield label("traffic"), plain(f"{moved}   connections {count(held[0])}   tunnels {count(held[1])}")
    for name, title in _DURATIONS.items():
        yield label(title), plain(_quantiles(view["seconds"][name]))
    if gateway["has_sessions"]:
        yield from _sessions(view)


def _workers(workers: Mapping[str, int] | None) -> Iterator[Cell]:
    if workers is None:
        yield plain("one process   ")
        return
    others = [f"{number} {state}" for state, number in workers.items() if number and state != "ready"]
    states = ", ".join([f"{workers['ready']} ready", *others])
    yield alarming(f"workers {states}   ", bool(others))


def _reload(view: View) -> Iterator[Cell]:
    when = distance(view["reload"]["at"], view["at"])
    if not view["reload"]["successful"]:
        yield alarming("reload failed, ", is_bad=True)
    yield plain(f"loaded {when}   ")


def _sessions(view: View) -> Iterator[Row]:
    opened, ended = view["sessions"]["opened_per_second"], view["sessions"]["ended_per_second"]
    sessions = [f"opened {rate(opened)}/s", f"ended {rate(sum(ended.values()))}/s", _listed(ended)]
    yield label("sessions"), plain("   ".join(sessions).rstrip())
    yield label("logins"), plain(_listed(view["logins_per_second"]) or "-")
    yield label("exchanges"), plain(_listed(view["exchanges_per_second"]) or "-")
    staleness = view["revocation_staleness"]
    news = "not known yet" if staleness is None else f"as of {duration(staleness)} ago"
    yield (
        label("revocations"),
        plain(f"{count(view['revocations'])} in force, "),
        alarming(news, staleness is None or staleness > _STALE),
        plain(f"   store errors {count(view['store_errors'])}"),
    )


def _listed(rates: Mapping[str, float]) -> str:
    return "   ".join(f"{printable(name)} {rate(each)}/s" for name, each in sorted(rates.items()) if each > 0)


def _quantiles(found: Mapping[str, float] | None) -> str:
    if found is None:
        return "-"
    return "   ".join(f"{share} {duration(seconds):>7}" for share, seconds in found.items())
