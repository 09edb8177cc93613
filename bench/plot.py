"""The table of contenders as a picture: one bar each, readable on light and on dark pages."""

from html import escape
from typing import Final

from bench import contenders as who
from bench.results import RowResult, Spread
from bench.tables import DASH

_WIDTH: Final = 760
_LEFT: Final = 200
_RIGHT: Final = 150
_TOP: Final = 46
_STEP: Final = 34
_BAR: Final = 20
_STYLE: Final = """
  text { font: 13px system-ui, sans-serif; fill: #1f2328 }
  .title { font-size: 15px; font-weight: 600 }
  .faint { fill: #59636e }
  .ours { fill: #0969da }
  .checks { fill: #8c959f }
  .plain { fill: #d0d7de }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .faint { fill: #9198a1 }
    .ours { fill: #4493f8 }
    .checks { fill: #7d8590 }
    .plain { fill: #3d444d }
  }
"""


def plot(result: RowResult) -> str:
    """Return an SVG of CPU per request, the least first."""
    found = [
        (case.contender, spread)
        for case, measured in result.measured.items()
        if (spread := measured.spread(lambda sample: sample.cpu_us)) is not None
    ]
    found.sort(key=lambda pair: pair[1].middle)
    longest = max((spread.middle for _, spread in found), default=1.0)
    bars = "\n".join(_bar(place, *pair, (_WIDTH - _LEFT - _RIGHT) / longest) for place, pair in enumerate(found))
    height = _TOP + _STEP * len(found) + 34
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" viewBox="0 0 {_WIDTH} {height}" role="img">
<title>CPU time per request of the gateway and of other proxies</title>
<style>{_STYLE}</style>
<text class="title" x="12" y="24">CPU per proxied request, µs</text>
{bars}
{_legend(height - 14)}
</svg>
"""


def _bar(place: int, contender: who.Contender, spread: Spread, scale: float) -> str:
    top = _TOP + _STEP * place
    kind = "ours" if contender.setup is not None else "checks" if contender.checks_tokens else "plain"
    width = max(1.0, spread.middle * scale)
    text, edge = top + _BAR * 0.75, _LEFT + width
    return (
        f'<text x="{_LEFT - 10}" y="{text:.0f}" text-anchor="end">{escape(contender.name)}</text>'
        f'<rect class="{kind}" x="{_LEFT}" y="{top}" width="{width:.1f}" height="{_BAR}" rx="3"/>'
        f'<text x="{edge + 8:.1f}" y="{text:.0f}">{spread.middle:.0f}'
        f'<tspan class="faint" dx="6">{spread.low:.0f}{DASH}{spread.high:.0f}</tspan></text>'
    )


def _legend(line: int) -> str:
    entries = (("ours", "this gateway"), ("checks", "checks tokens"), ("plain", "checks nothing"))
    return "".join(
        f'<rect class="{kind}" x="{_LEFT + 140 * place}" y="{line - 10}" width="12" height="12" rx="2"/>'
        f'<text class="faint" x="{_LEFT + 18 + 140 * place}" y="{line}">{word}</text>'
        for place, (kind, word) in enumerate(entries)
    )
