"""What takes minutes is not run here; that it runs is, and that its verdicts are right."""

import asyncio
import random
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest

from bench.fleets import Tokens
from bench.honest import Client, Tally
from bench.outages import BOUND, Outages
from bench.tables import table
from bench.wire import Connection

ROOT = Path(__file__).parents[1]


def test_the_benchmark_of_sessions_runs() -> None:
    printed = run("bench.sessions", "--quick")
    for word in ("exchange, SQLite", "exchange, Redis", "bytes per session", "revocation to", "decide", "idle"):
        assert word in printed


@pytest.mark.parametrize("scenario", ["redis", "sentinel", "sqlite"])
def test_nobody_is_logged_out_and_no_revoked_token_is_accepted(scenario: str) -> None:
    printed = run("bench.survival", "--quick", "--sessions", "40", "--only", scenario)
    assert printed.endswith("honest clients logged out: 0; revoked tokens accepted after the bound: 0\n")


def test_a_short_soak_leaves_nothing_behind() -> None:
    printed = run("bench.soak", "--seconds", "10", "--sessions", "30", "--crowd", "1")
    assert re.search(r"\| leaked memory +\| +0 \|", printed)


def test_tables_are_markdown() -> None:
    assert table(("what", "n"), [("a", "10")]) == "| what |  n |\n| ---- | -: |\n| a    | 10 |"


class TestOutages:
    def test_a_revocation_is_known_after_the_bound(self) -> None:
        assert Outages(30).known_from(100) == 100 + BOUND

    def test_the_bound_begins_anew_when_the_store_is_back(self) -> None:
        assert outages(30, (101, 104)).known_from(100) == 104 + BOUND

    def test_an_outage_after_the_bound_is_of_no_account(self) -> None:
        assert outages(30, (102, 104)).known_from(100) == 102

    def test_closed_routes_refuse_when_the_news_are_too_old(self) -> None:
        gone = Outages(5)
        gone.begin(101)
        assert gone.known_from(100) == 105

    def test_an_outage_that_is_over_when_it_was_answered_is_of_no_account(self) -> None:
        assert outages(30, (90, 99)).known_from(100) == 102


class TestHonestClients:
    async def test_a_definite_no_is_counted_as_logged_out(self) -> None:
        client = make_client()
        await answered(client.exchange, 400)
        assert (client.state, len(client.tally.logged_out)) == ("lost", 1)

    async def test_after_a_503_it_keeps_its_refresh_token(self) -> None:
        client = make_client()
        await answered(client.exchange, 503)
        assert (client.state, client.tokens.refresh, client.tally.logged_out) == ("honest", "r1", [])
        assert client.tally.errors["exchange: 503"] == 1

    async def test_a_broken_connection_is_no_answer(self) -> None:
        client = make_client()
        await answered(client.exchange, None)
        assert (client.state, client.tally.errors["exchange: connection broken"]) == ("honest", 1)

    async def test_a_revoked_token_that_is_accepted_after_the_bound_is_counted(self) -> None:
        client = make_client(state="left", left_at=float("-inf"))
        await answered(lambda gateway: client.step([gateway]), 200)
        assert len(client.tally.accepted) == 1

    async def test_a_revoked_session_that_gives_new_tokens_is_counted(self) -> None:
        client = make_client(state="left")
        await answered(client.audit, 200)
        assert len(client.tally.accepted) == 1


def run(module: str, *words: str) -> str:
    """Run a module to its end, and return what it prints."""
    command = [sys.executable, "-m", module, *words]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def outages(max_staleness: float, *spans: tuple[float, float]) -> Outages:
    return Outages(max_staleness, list(spans))


def make_client(**changes: object) -> Client:
    client = Client(1, random.Random(1), Tokens("a1", "r1", 600), Tally(), Outages(5))
    for name, value in changes.items():
        setattr(client, name, value)
    return client


async def answered(ask: Callable[[Connection], Awaitable[object]], status: int | None) -> None:
    """Let a client ask a server that gives this answer, or breaks the connection."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if status is not None:
            writer.write(f"HTTP/1.1 {status} -\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        with closing(Connection(server.sockets[0].getsockname()[1])) as connection:
            await ask(connection)
