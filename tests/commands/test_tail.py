"""`gateway tail` gives every decision once, also of a gateway that was restarted meanwhile."""

import asyncio
import json
import os
import signal
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from gateway.commands.following.lines import Lines
from gateway.commands.following.seen import Decision, Seen
from gateway.commands.showing.terminal import Paint
from tests.commands.asked import WITHIN, asked_gateway, command, line_of, started
from tests.ports import free_port
from tests.trips.running import Running


async def ask(gateway: Running, *paths: str) -> None:
    async with aiohttp.ClientSession() as http:
        for path in paths:
            async with http.get(f"{gateway.url}{path}"):
                pass


async def test_decisions_that_were_kept_are_printed_the_oldest_first(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}") as gateway:
        await ask(gateway, "/api/a", "/open/b", "/nowhere")
        ended = await command("tail", "--config", tmp_path / "config.yaml", "--once")
        assert (ended.status, ended.err) == (0, "")
        rows = [line.split() for line in ended.out.splitlines()]
        assert [row[1:5] for row in rows] == [
            ["401", "missing_credentials", "api", "127.0.0.1"],
            ["200", "allow", "open", "127.0.0.1"],
            ["404", "no_route", "-", "127.0.0.1"],
        ]
        assert [" ".join(row[7:9]) for row in rows] == ["GET /api/a", "GET /open/b", "GET /nowhere"]
        assert len({line.index("127.0.0.1") for line in ended.out.splitlines()}) == 1
        last = await command("tail", "--config", tmp_path / "config.yaml", "--once", "--last", "1")
        assert [line.split() for line in last.out.splitlines()] == rows[-1:]


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["--reason", "no_route"], ["/nowhere"]),
        (["--route", "open"], ["/open/b"]),
        (["--outcome", "allow"], ["/open/b"]),
        (["--outcome", "refuse", "--client", "127.0.0.1"], ["/api/a", "/nowhere"]),
        (["--subject", "alice"], []),
        (["--request-id", "nothing"], []),
    ],
)
async def test_only_those_that_are_asked_for_are_printed(tmp_path: Path, words: list[str], paths: list[str]) -> None:
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}") as gateway:
        await ask(gateway, "/api/a", "/open/b", "/nowhere")
        ended = await command("tail", "--config", tmp_path / "config.yaml", "--once", "--json", *words)
        assert [json.loads(line)["path"] for line in ended.out.splitlines()] == paths


async def test_it_goes_on_when_the_gateway_is_restarted_and_says_so(tmp_path: Path) -> None:
    address = f"127.0.0.1:{free_port()}"
    words = ("tail", "--config", tmp_path / "config.yaml", "--json", "--last", "1")
    async with AsyncExitStack() as first:
        gateway = await first.enter_async_context(asked_gateway(tmp_path, address))
        await ask(gateway, "/api/first")
        async with started(*words) as process:
            assert json.loads(await line_of(process.stdout))["path"] == "/api/first"
            await ask(gateway, "/api/second")
            assert json.loads(await line_of(process.stdout))["path"] == "/api/second"
            await first.aclose()
            assert f"no answer from http://{address}: " in await line_of(process.stderr)
            async with asked_gateway(tmp_path, address) as another:
                await ask(another, "/api/third")
                assert json.loads(await line_of(process.stdout))["path"] == "/api/third"
                assert await line_of(process.stderr) == "gateway tail: the gateway answers again"
                process.send_signal(signal.SIGINT)
                async with asyncio.timeout(WITHIN):
                    assert await process.wait() == 0


async def test_it_ends_when_nobody_reads_any_more(tmp_path: Path) -> None:
    async with asked_gateway(tmp_path, f"127.0.0.1:{free_port()}") as gateway:
        await ask(gateway, "/api/a")
        reading, writing = os.pipe()
        async with started("tail", "--config", tmp_path / "config.yaml", stdout=writing) as process:
            os.close(writing)
            assert b"missing_credentials" in await asyncio.to_thread(os.read, reading, 65536)
            os.close(reading)
            await ask(gateway, "/api/b")
            async with asyncio.timeout(WITHIN):
                assert await process.wait() == 0
            assert process.stderr is not None
            assert await process.stderr.read() == b""


async def test_a_gateway_that_cannot_be_reached_at_the_start_ends_it() -> None:
    ended = await command("tail", "--admin", f"http://127.0.0.1:{free_port()}")
    assert (ended.status, ended.out) == (1, "")
    assert "Connection refused; is the gateway running" in ended.err


# --- what was given already


def decision(number: float, **fields: Any) -> Decision:
    return {"request_id": f"r{number}", "time": number, "ended": number, **fields}


def test_a_decision_is_given_once_although_it_is_asked_for_again() -> None:
    seen = Seen()
    assert seen.new([decision(101), decision(100)], 10) == [decision(100), decision(101)]
    assert seen.since == 100
    late = decision(100.5)
    assert seen.new([decision(102), decision(101), late]) == [late, decision(102)]
    assert seen.new([decision(102), decision(101.5)]) == [decision(101.5)]


def test_what_is_older_than_the_first_ones_is_not_given_later() -> None:
    seen = Seen()
    assert seen.new([decision(100.3)], 1) == [decision(100.3)]
    assert seen.new([decision(100.4), decision(100.3), decision(100.2), decision(100.1)]) == [decision(100.4)]


def test_of_the_first_answer_none_may_be_wanted() -> None:
    seen = Seen()
    assert seen.new([decision(100)], 0) == []
    assert seen.new([decision(101), decision(100), decision(99.5)]) == [decision(101)]


def test_requests_with_the_same_id_are_different_ones() -> None:
    """Clients may choose it."""
    seen = Seen()
    same = {"request_id": "same"}
    assert seen.new([decision(100, **same)], 10) == [decision(100, **same)]
    assert seen.new([decision(100.5, **same), decision(100, **same)]) == [decision(100.5, **same)]


# --- lines


def shown(**fields: Any) -> Decision:
    what = {"route": "api", "method": "GET", "path": "/x", "status": 401, "reason": "expired_token"}
    who = {"outcome": "refuse", "client": "203.0.113.9", "subject": None, "detail": None}
    return {**decision(1_763_800_000.5), **what, **who, **fields}


@pytest.mark.parametrize("field", ["path", "subject", "client", "request_id", "route", "detail"])
def test_terminal_injection_what_clients_choose_does_nothing_to_a_terminal(field: str) -> None:
    line = Lines(Paint()).line(shown(**{field: "a\x1b]0;title\x07\u202eb\nc"}))
    assert line.isprintable()
    assert r"a\x1b]0;title\x07\u202eb\nc" in line


def test_columns_stay_aligned_with_letters_of_double_width() -> None:
    lines = Lines(Paint())
    rows = [shown(subject="김철수"), shown(subject="alice"), shown()]
    lines.make_room(rows)
    before = [lines.line(row).partition("r1763800000.5")[0] for row in rows]
    assert [len(line) + line.count("김철수") * 3 for line in before] == [len(before[1])] * 3


def test_a_refusal_has_a_colour_only_where_there_are_any() -> None:
    assert Lines(Paint(has_colours=True)).line(shown()).startswith("\x1b[31m")
    assert "\x1b" not in Lines(Paint()).line(shown())
