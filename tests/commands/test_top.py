"""`gateway top` shows what happened since the last picture, in the size of the terminal, and leaves that as it was."""

import asyncio
import contextlib
import fcntl
import json
import os
import re
import struct
import sys
import termios
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.cli import main
from gateway.commands.asking.client import AdminClient
from gateway.commands.asking.door import Door, place_named
from gateway.commands.showing.terminal import Paint, columns
from gateway.commands.watching.frame import frame
from gateway.commands.watching.history import History
from gateway.commands.watching.numbers import count, duration, rate, size
from gateway.commands.watching.sample import Sample, has_restarted, quantile, take_sample
from gateway.commands.watching.view import View, view_of
from tests.commands.asked import READ_TOKEN, WITHIN, asked_gateway, command
from tests.ports import free_port
from tests.trips.running import Running

COLOUR = re.compile(r"\x1b\[[0-9;]*m")


async def ask(gateway: Running, *paths: str) -> None:
    async with aiohttp.ClientSession() as http:
        for path in paths:
            async with http.get(f"{gateway.url}{path}"):
                pass


async def two_samples(directory: Path) -> tuple[Sample, Sample]:
    """Return samples of a gateway, with two seconds, five refusals and one request that passed in between."""
    address = f"127.0.0.1:{free_port()}"
    door = Door(place_named(f"http://{address}"), READ_TOKEN)
    async with asked_gateway(directory, address) as gateway, AdminClient(door) as client:
        await ask(gateway, "/nowhere")
        earlier = await take_sample(client)
        await ask(gateway, *["/api/x"] * 4, "/nowhere", "/open/x")
        gateway.clock.now += 2
        return earlier, await take_sample(client)


async def test_rates_are_of_the_time_between_two_samples(tmp_path: Path) -> None:
    view = view_of(*await two_samples(tmp_path))
    assert view["over_seconds"] == 2
    assert view["requests"] == {"per_second": 3.0, "by_status": {"4xx": 2.5, "2xx": 0.5}}
    assert view["refused"]["per_second"] == 2.5
    assert view["refused"]["share"] == pytest.approx(5 / 6)
    assert view["refused"]["reasons"] == [
        {"reason": "missing_credentials", "per_second": 2.0, "total": 4},
        {"reason": "no_route", "per_second": 0.5, "total": 2},
    ]
    assert view["routes"] == [
        {
            "id": "api",
            "per_second": 2.0,
            "refused_per_second": 2.0,
            "refused_total": 4,
            "mostly": "missing_credentials",
        }
    ]
    [upstream] = view["upstreams"]
    assert (upstream["name"], upstream["usable"], upstream["unusable"]) == ("app", 1, [])
    assert view["seconds"]["upstream"]["p50"] > 0
    assert view["gateway"]["role"] == "read"


async def test_a_gateway_that_began_anew_is_noticed_and_nothing_is_negative(tmp_path: Path) -> None:
    earlier, later = await two_samples(tmp_path)
    assert has_restarted(later, earlier)
    assert not has_restarted(earlier, later)
    view = view_of(later, earlier)
    assert view["requests"]["per_second"] == 0
    assert [row["per_second"] for row in view["refused"]["reasons"]] == [0]


def at(sample: Sample, seconds: float, requests: int) -> Sample:
    """Return a sample of so many requests, all of which passed, at a later time."""
    counts = {"requests": {"2xx": requests}, "decisions": {"allow": requests}}
    return replace(sample, counters={**sample.counters, **counts, "at": sample.counters["at"] + seconds})


async def test_a_worker_that_does_not_answer_once_makes_neither_a_gap_nor_a_peak(tmp_path: Path) -> None:
    first, _ = await two_samples(tmp_path)
    history = History(at(first, 0, 1000))
    for seconds, requests in ((2, 1020), (4, 500), (6, 1060)):
        history.add(at(first, seconds, requests))
    assert history.view["requests"]["per_second"] == 10


async def test_after_a_restart_rates_are_of_the_time_since_then(tmp_path: Path) -> None:
    first, _ = await two_samples(tmp_path)
    history = History(at(first, 0, 1000))
    for seconds, requests in ((2, 10), (4, 30), (6, 50)):
        history.add(at(first, seconds, requests))
    assert history.view["requests"]["per_second"] == 10
    for seconds, requests in ((8, 20), (10, 5), (12, 25)):
        history.add(at(first, seconds, requests))
    assert history.view["requests"]["per_second"] == 10


async def test_rates_are_of_the_last_five_intervals(tmp_path: Path) -> None:
    first, _ = await two_samples(tmp_path)
    history = History(at(first, 0, 0))
    for number in range(1, 10):
        history.add(at(first, 2 * number, number**2))
    assert history.view["over_seconds"] == 10
    assert history.view["requests"]["per_second"] == (81 - 16) / 10


def test_pictures_have_some_time_between_them() -> None:
    with pytest.raises(SystemExit) as left:
        main(["top", "--every", "0s"])
    assert left.value.code == 2


@pytest.mark.parametrize("width", [10, 40, 63, 64, 79, 80, 115, 116, 200])
@pytest.mark.parametrize("height", [1, 12, 20, 24, 60, None])
@pytest.mark.parametrize("has_colours", [False, True])
async def test_a_picture_fits_the_terminal(busy: View, width: int, height: int | None, has_colours: bool) -> None:
    lines = frame(busy, width, height, Paint(has_colours))
    assert max(columns(COLOUR.sub("", line)) for line in lines) <= width
    assert height is None or len(lines) <= height
    assert has_colours == any("\x1b" in line for line in lines)


@pytest.fixture
def busy() -> View:
    """More than any terminal has room for, and names of letters of double width."""
    reasons = [{"reason": f"reason_{number}", "per_second": 12345.6, "total": 10**9} for number in range(40)]
    route = {"per_second": 1.0, "refused_per_second": 0.5, "refused_total": 7, "mostly": "insufficient_authentication"}
    times = {"p50": 0.00001, "p90": 0.5, "p99": 1e4}
    return {
        "at": 1_763_800_000.0,
        "over_seconds": 10.0,
        "gateway": {"version": "1.0.0", "issuer": "https://게이트웨이.example", "has_sessions": True},
        "workers": {"ready": 1, "unready": 1, "draining": 0, "missing": 1},
        "requests": {"per_second": 1e6, "by_status": {f"{n}xx": 1e5 for n in range(1, 6)}},
        "refused": {"per_second": 3.0, "share": 0.5, "reasons": reasons},
        "seconds": {"added": times, "upstream": None, "request": times},
        "bytes_per_second": {"in": 1e15, "out": 0},
        "connections": 10**6,
        "tunnels": 3,
        "memory_bytes": 5e7,
        "cpu_share": 1.5,
        "exchanges_per_second": {"rotated": 2.0},
        "logins_per_second": {},
        "sessions": {"opened_per_second": 0.1, "ended_per_second": {"logout": 0.1}},
        "revocations": 3,
        "revocation_staleness": None,
        "store_errors": 2,
        "reload": {"successful": False, "at": 1_763_000_000.0},
        "upstreams": [
            {"name": "app", "circuit": "open", "usable": 0, "unusable": ["http://10.0.0.1:9000"], "busy": 1, "idle": 2}
        ],
        "routes": [{"id": "주문-" * 20, **route}, *({"id": f"r{number}", **route} for number in range(40))],
    }


def test_what_is_wrong_has_a_colour(busy: View) -> None:
    lines = frame(busy, 100, None, Paint(has_colours=True))
    red = [line for line in lines if "\x1b[31m" in line]
    for words in (
        "1 unready, 1 missing",
        "reload failed",
        "not known yet",
        "without http://10.0.0.1:9000",
    ):
        assert any(words in line for line in red), words


def test_terminal_injection_names_do_nothing_to_a_terminal(busy: View) -> None:
    hostile = deepcopy(dict(busy))
    hostile["routes"][0]["id"] = hostile["upstreams"][0]["name"] = hostile["gateway"]["issuer"] = "\x1b[2J\n"
    assert all(line.isprintable() for line in frame(hostile, 120, None, Paint()))


def test_a_gateway_without_sessions_and_without_traffic_has_a_picture(busy: View) -> None:
    quiet: dict[str, Any] = {**busy, "workers": None, "routes": [], "upstreams": []}
    quiet["gateway"] = {**busy["gateway"], "issuer": None, "has_sessions": False}
    quiet["refused"] = {"per_second": 0, "share": 0, "reasons": []}
    text = "\n".join(frame(quiet, 100, None, Paint()))
    assert "one process" in text
    assert "nothing was refused" in text
    assert "logins" not in text


@pytest.mark.parametrize(("share", "found"), [(0.0, 0.0), (0.25, 1.0), (0.5, 1.5), (0.75, 2.0), (0.9, 4.0), (1.0, 4.0)])
def test_quantiles_lie_within_their_bucket(share: float, found: float) -> None:
    assert quantile([1.0, 2.0, 4.0], [1, 2, 0, 1], share) == found


@pytest.mark.parametrize(
    ("shown", "words"),
    [
        (rate(0), "0"),
        (rate(0.04), "0.04"),
        (rate(1.25), "1.2"),
        (rate(99.6), "100"),
        (rate(12_345), "12k"),
        (duration(0.000085), "85 us"),
        (duration(0.0012), "1.2 ms"),
        (duration(0.34), "340 ms"),
        (duration(2.5), "2.5 s"),
        (duration(720), "12 min"),
        (size(512), "512 B"),
        (size(3.4 * 1024**2), "3.4 MiB"),
        (size(1e20), "90949470.2 TiB"),
        (count(1234567), "1,234,567"),
    ],
)
def test_numbers_are_short(shown: str, words: str) -> None:
    assert shown == words


async def test_one_picture_is_printed_where_there_is_no_terminal(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}") as gateway:
        await ask(gateway, "/api/x")
        ended = await command("top", "--config", tmp_path / "config.yaml", "--every", "50ms", COLUMNS="100")
        assert (ended.status, ended.err) == (0, "")
        assert "\x1b" not in ended.out
        assert re.search(r"(?m)^missing_credentials +0 +1$", ended.out)
        ended = await command("top", "--config", tmp_path / "config.yaml", "--every", "50ms", "--json")
        assert json.loads(ended.out)["refused"]["reasons"][0]["reason"] == "missing_credentials"


# --- in a terminal


class Terminal:
    """What a command has written to its terminal."""

    def __init__(self, descriptor: int, process: asyncio.subprocess.Process) -> None:
        self._descriptor = descriptor
        self.process = process
        self.text = ""

    async def shows(self, words: str) -> None:
        """Wait until words are on it."""
        async with asyncio.timeout(WITHIN):
            while words not in self.text:
                await self.read()

    async def read(self) -> None:
        self.text += (await asyncio.to_thread(os.read, self._descriptor, 65536)).decode()

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press_ctrl_c(self) -> None:
        os.write(self._descriptor, b"\x03")

    async def ended(self) -> int:
        async with asyncio.timeout(WITHIN):
            with contextlib.suppress(OSError):  # how a terminal says that nobody is there any more
                while True:
                    await self.read()
            return await self.process.wait()


@asynccontextmanager
async def terminal(*words: object, **variables: str) -> AsyncIterator[Terminal]:
    """Run a command in a terminal of 80 columns and 24 lines."""
    ours, theirs = os.openpty()
    unset = ("NO_COLOR", "COLUMNS", "LINES")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _IN_TERMINAL, *map(str, words)),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        env={**{k: v for k, v in os.environ.items() if k not in unset}, "TERM": "xterm", **variables},
    )
    os.close(theirs)
    shown = Terminal(ours, process)
    shown.resize(80, 24)
    try:
        yield shown
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        os.close(ours)


_IN_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is heard
from gateway.cli import main
sys.exit(main(sys.argv[1:]))
"""


async def test_pictures_follow_each_other_until_ctrl_c_and_the_terminal_is_left_as_it_was(tmp_path: Path) -> None:
    async with AsyncExitStack() as running:
        gateway = await running.enter_async_context(asked_gateway(tmp_path, f"127.0.0.1:{free_port()}"))
        async with terminal("top", "--config", tmp_path / "config.yaml", "--every", "100ms") as shown:
            await shown.shows("nothing was refused")
            await ask(gateway, "/api/x")
            await shown.shows("missing_credentials")
            await running.aclose()
            await shown.shows("asking again")
            shown.press_ctrl_c()
            assert await shown.ended() == 0
            assert shown.text.startswith("\x1b[?1049h\x1b[?25l")
            assert shown.text.endswith("\x1b[?25h\x1b[?1049l")
            assert "\x1b[1mgateway" in shown.text
            assert "Traceback" not in shown.text


async def test_a_terminal_is_left_as_it_was_also_when_the_command_is_ended(tmp_path: Path) -> None:
    words = ("top", "--config", tmp_path / "config.yaml", "--every", "50ms")
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}"), terminal(*words) as shown:
        await shown.shows("nothing was refused")
        shown.process.terminate()
        assert await shown.ended() == 0
        assert shown.text.endswith("\x1b[?25h\x1b[?1049l")


async def test_a_terminal_of_another_size_gets_another_picture_at_once(tmp_path: Path) -> None:
    words = ("top", "--config", tmp_path / "config.yaml", "--every", "1h")
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}"), terminal(*words) as shown:
        await shown.shows("circuit")
        shown.text = ""
        shown.resize(30, 5)
        await shown.shows("…")
        lines = COLOUR.sub("", shown.text.rpartition("\x1b[H")[2]).replace("\x1b[2K", "").split("\r\n")
        assert max(map(len, lines)) <= 30
        shown.press_ctrl_c()
        assert await shown.ended() == 0


async def test_only_routes_that_refuse_are_asked_for(tmp_path: Path) -> None:
    earlier, later = await two_samples(tmp_path)
    assert (set(earlier.routes), set(later.routes)) == (set(), {"api"})


async def test_no_colour_is_used_if_none_is_wanted(tmp_path: Path) -> None:
    words = ("top", "--config", tmp_path / "config.yaml", "--every", "50ms")
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}"), terminal(*words, NO_COLOR="1") as shown:
        await shown.shows("nothing was refused")
        shown.press_ctrl_c()
        assert await shown.ended() == 0
        assert not COLOUR.search(shown.text)
