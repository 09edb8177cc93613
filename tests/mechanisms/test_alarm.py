"""Alarms arrive at the webhook, signed, however often it fails at first; and they never pile up."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from hashlib import sha256

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.mechanisms.alarm import ATTEMPTS, MOST, Alarms
from gateway.mechanisms.fetch import ControlClient
from gateway.model.session import End, EndReason, SessionOver
from tests.minting import NOW
from tests.own_tokens import SID, a_session
from tests.trips.running import reserved_port
from tests.trips.wire import eventually

SECRET = b"0123456789abcdef0123456789abcdef"


def theft(distance: int = 4, subject: str = "alice") -> SessionOver:
    session = a_session(subject=subject, ended=End(EndReason.REUSE, NOW * 1000 + 5))
    return SessionOver(session, EndReason.REUSE, distance, "192.0.2.7")


class Receiver:
    """A webhook. It answers with each of `statuses` once, then with 204."""

    def __init__(self) -> None:
        self.statuses: list[int] = []
        self.got: list[tuple[bytes, str, str]] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        headers = request.headers
        self.got.append((await request.read(), headers["X-Gateway-Signature"], headers["Content-Type"]))
        return web.Response(status=self.statuses.pop(0) if self.statuses else 204)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    made = Receiver()
    app = web.Application()
    app.router.add_post("/hook", made.answer)
    async with TestServer(app) as server:
        made.url = str(server.make_url("/hook"))
        yield made


class Line:
    """Alarms over a real client. `paused` are the pauses that were not slept; `now` is the time."""

    def __init__(self, url: str, client: ControlClient) -> None:
        self.now: float = NOW
        self.paused: list[float] = []
        self.alarms = Alarms(url, SECRET, client.post, lambda: self.now, self._sleep)

    async def _sleep(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


@asynccontextmanager
async def sending(url: str) -> AsyncIterator[Line]:
    client = ControlClient()
    line = Line(url, client)
    task = asyncio.create_task(line.alarms.keep_sending())
    try:
        yield line
    finally:
        task.cancel()
        await asyncio.wait([task])
        await client.close()


def is_genuine(body: bytes, signature: str) -> bool:
    """Check as a receiver does."""
    fields = dict(part.split("=", 1) for part in signature.split(","))
    expected = hmac.new(SECRET, fields["t"].encode() + b"." + body, sha256).hexdigest()
    return hmac.compare_digest(fields["v1"], expected)


async def test_theft_is_told_with_what_a_person_needs(receiver: Receiver) -> None:
    """C174"""
    async with sending(receiver.url) as line:
        line.alarms.send(theft())
        await eventually(lambda: line.alarms.results["ok"] == 1)
    [(body, signature, kind)] = receiver.got
    assert kind == "application/json"
    assert json.loads(body) == {
        "event": "refresh_token_reuse",
        "reason": "reuse",
        "session": SID,
        "subject": "alice",
        "client_id": "web",
        "distance": 4,
        "address": "192.0.2.7",
        "at": NOW,
    }
    assert signature.startswith(f"t={NOW},v1=")
    assert is_genuine(body, signature)
    assert not is_genuine(body.replace(b"alice", b"mallory"), signature)
    assert not is_genuine(body, signature.replace(f"t={NOW}", f"t={NOW + 1}"))


async def test_a_failing_webhook_is_tried_again_with_growing_pauses(receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404]
    async with sending(receiver.url) as line:
        line.alarms.send(theft())
        await eventually(lambda: line.alarms.results["ok"] == 1)
    assert line.paused == [1, 2, 4]
    assert len({body for body, _, _ in receiver.got}) == 1
    assert [signature.split(",")[0] for _, signature, _ in receiver.got] == [f"t={NOW + s}" for s in (0, 1, 3, 7)]
    assert all(is_genuine(body, signature) for body, signature, _ in receiver.got)


async def test_it_gives_up_and_goes_on_with_the_next(receiver: Receiver) -> None:
    receiver.statuses = [500] * ATTEMPTS
    async with sending(receiver.url) as line:
        line.alarms.send(theft(1))
        line.alarms.send(theft(2))
        await eventually(lambda: line.alarms.results == {"ok": 1, "failed": 1, "dropped": 0})
    assert [json.loads(body)["distance"] for body, _, _ in receiver.got] == [1] * ATTEMPTS + [2]


async def test_a_webhook_that_is_not_there_is_a_failure() -> None:
    with reserved_port() as port:
        async with sending(f"http://127.0.0.1:{port}/hook") as line:
            line.alarms.send(theft())
            await eventually(lambda: line.alarms.results["failed"] == 1)


async def test_what_waits_is_bounded_and_the_oldest_are_dropped(receiver: Receiver) -> None:
    client = ControlClient()
    line = Line(receiver.url, client)
    for distance in range(MOST + 3):
        line.alarms.send(theft(distance))
    assert line.alarms.results["dropped"] == 3
    task = asyncio.create_task(line.alarms.keep_sending())
    await eventually(lambda: receiver.got)
    task.cancel()
    await asyncio.wait([task])
    await client.close()
    assert json.loads(receiver.got[0][0])["distance"] == 3


async def test_what_waits_is_sent_when_the_task_is_started_again(receiver: Receiver) -> None:
    client = ControlClient()
    failures = [RuntimeError("a bug")]

    async def post(*args: object, **more: object) -> object:
        if failures:
            raise failures.pop()
        return await client.post(*args, **more)  # type: ignore[arg-type]

    alarms = Alarms(receiver.url, SECRET, post, lambda: NOW)  # type: ignore[arg-type]
    alarms.send(theft(1))
    alarms.send(theft(2))
    with pytest.raises(RuntimeError):
        await alarms.keep_sending()
    task = asyncio.create_task(alarms.keep_sending())
    await eventually(lambda: alarms.results["ok"] == 1)
    task.cancel()
    await asyncio.wait([task])
    await client.close()
    assert [json.loads(body)["distance"] for body, _, _ in receiver.got] == [2]


async def test_a_session_that_was_not_said_to_have_ended_has_no_time(receiver: Receiver) -> None:
    async with sending(receiver.url) as line:
        line.alarms.send(SessionOver(a_session(subject="m\u00fcller"), EndReason.PAIR_MISMATCH))
        await eventually(lambda: receiver.got)
    told = json.loads(receiver.got[0][0])
    assert (told["subject"], told["at"], told["reason"]) == ("m\u00fcller", None, "pair_mismatch")
