import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import pytest

from gateway.mechanisms.base import FetchFailed
from gateway.mechanisms.fetch import ControlClient
from gateway.model.decision import Pending
from gateway.model.errors import KeysUnavailable, UnknownKey, WrongAlgorithm
from gateway.tokens.key_documents import MAX_KEYS, KeyRules
from gateway.tokens.keys import Key
from gateway.tokens.remote_keys import (
    LONGEST_PAUSE,
    MAX_DOCUMENT,
    Discovery,
    FixedLocation,
    Location,
    RemoteKeys,
    SourceFailed,
    Timing,
)
from tests.issuing import Clock, Issuer
from tests.minting import NOW, make_key

OLD, NEW = make_key("EdDSA", "old"), make_key("ES256", "new")
TIMING = Timing(refresh_interval=600, cooldown=30, max_stale=3600)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with Issuer(OLD).running() as issuer:
        yield issuer


class Gateway:
    """One RemoteKeys and all that it told. `pauses` are those of keep_fresh; it goes on when the test calls `wake`."""

    def __init__(self, location: Location) -> None:
        self.client = ControlClient(timeout=5)
        self.clock = Clock(NOW)
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.forgotten: list[frozenset[str]] = []
        self.pauses: asyncio.Queue[float] = asyncio.Queue()
        self.wake = asyncio.Semaphore(0)
        self.keys = RemoteKeys(
            location,
            self.fetch,
            self.clock,
            rules=KeyRules(),
            timing=TIMING,
            forget=self.forgotten.append,
            notice=lambda event, fields: self.notices.append((event, fields)),
            sleep=self.sleep,
        )

    async def fetch(self, url: str, max_bytes: int) -> bytes:
        try:
            return await self.client.fetch(url, max_bytes)
        except FetchFailed as error:
            raise SourceFailed(str(error)) from error

    async def sleep(self, seconds: float) -> None:
        self.pauses.put_nowait(seconds)
        await self.wake.acquire()

    async def lookup(self, kid: str | None, alg: str = "EdDSA") -> tuple[Key, ...]:
        """Look up as the engine does: wait if that may help, then ask again."""
        found = self.keys.lookup(kid, alg, self.clock.now)
        if isinstance(found, Pending):
            await found.ready()
            found = self.keys.lookup(kid, alg, self.clock.now)
        assert not isinstance(found, Pending)
        return found


@pytest.fixture
async def gateway(issuer: Issuer) -> AsyncIterator[Gateway]:
    gateway = Gateway(FixedLocation(issuer.jwks_uri))
    yield gateway
    await gateway.client.close()


async def test_the_first_token_waits_for_the_keys(gateway: Gateway, issuer: Issuer) -> None:
    assert isinstance(gateway.keys.lookup("old", "EdDSA", NOW), Pending)
    assert [key.kid for key in await gateway.lookup("old")] == ["old"]
    assert gateway.keys.fetches == {"ok": 1, "failed": 0}
    assert gateway.keys.fetched_at == NOW
    assert gateway.notices == [("keys_fetched", {"keys": 1, "withdrawn": 0, "skipped": []})]


async def test_known_keys_cost_no_request(gateway: Gateway, issuer: Issuer) -> None:
    for seconds in range(100):
        gateway.clock.now = NOW + seconds
        await gateway.lookup("old")
    assert issuer.requests == ["/jwks"]


async def test_all_who_wait_share_one_fetch(gateway: Gateway, issuer: Issuer) -> None:
    issuer.gate.clear()
    waiting = [asyncio.create_task(gateway.lookup("old")) for _ in range(50)]
    while not issuer.requests:
        await asyncio.sleep(0)
    late = gateway.keys.lookup("old", "EdDSA", NOW)
    assert isinstance(late, Pending)
    issuer.gate.set()
    await late.ready()
    assert all(found[0].kid == "old" for found in await asyncio.gather(*waiting))
    assert issuer.requests == ["/jwks"]


async def test_a_waiter_that_is_cancelled_does_not_stop_the_others(gateway: Gateway, issuer: Issuer) -> None:
    issuer.gate.clear()
    first, second = asyncio.create_task(gateway.lookup("old")), asyncio.create_task(gateway.lookup("old"))
    while not issuer.requests:
        await asyncio.sleep(0)
    first.cancel()
    with suppress(asyncio.CancelledError):
        await first
    issuer.gate.set()
    assert (await second)[0].kid == "old"
    assert issuer.requests == ["/jwks"]


async def test_junk_kids_cause_one_fetch_per_cooldown(gateway: Gateway, issuer: Issuer) -> None:
    """C35"""
    await gateway.lookup("old")
    for seconds in range(61):
        gateway.clock.now = NOW + seconds
        for junk in range(10):
            with pytest.raises(UnknownKey):
                await gateway.lookup(f"junk-{seconds}-{junk}")
    assert len(issuer.requests) == 3


async def test_a_kid_is_never_used_in_a_request(gateway: Gateway, issuer: Issuer) -> None:
    """C36"""
    for kid in ("../../etc/passwd", "https://attacker.example/", "k" * 1024):
        with pytest.raises(UnknownKey):
            await gateway.lookup(kid)
        gateway.clock.now += 31
    assert set(issuer.requests) == {"/jwks"}


async def test_an_unknown_kid_finds_a_new_key_at_once(gateway: Gateway, issuer: Issuer) -> None:
    """C64"""
    await gateway.lookup("old")
    issuer.publish(OLD, NEW)
    gateway.clock.now = NOW + 31
    assert [key.kid for key in await gateway.lookup("new", "ES256")] == ["new"]
    assert gateway.forgotten == []


async def test_a_token_without_kid_may_also_need_a_new_key(gateway: Gateway, issuer: Issuer) -> None:
    await gateway.lookup("old")
    issuer.publish(NEW)
    gateway.clock.now = NOW + 31
    assert [key.kid for key in await gateway.lookup(None, "ES256")] == ["new"]


async def test_who_comes_late_to_a_fetch_causes_no_other(gateway: Gateway, issuer: Issuer) -> None:
    """C35: otherwise junk could keep one fetch after the other going."""
    issuer.gate.clear()
    first = asyncio.create_task(gateway.lookup("old"))
    while not issuer.requests:
        await asyncio.sleep(0)
    late = gateway.keys.lookup("junk", "EdDSA", NOW)
    assert isinstance(late, Pending)
    issuer.gate.set()
    await first
    await late.ready()
    assert issuer.requests == ["/jwks"]


async def test_a_withdrawn_key_is_refused_and_reported(gateway: Gateway, issuer: Issuer) -> None:
    """C64"""
    [old] = await gateway.lookup("old")
    issuer.publish(NEW)
    await gateway.keys.refresh()
    with pytest.raises(UnknownKey):
        await gateway.lookup("old")
    assert [key.kid for key in gateway.keys.keys] == ["new"]
    assert gateway.forgotten == [{old.thumbprint}]
    assert gateway.notices[-1] == ("keys_fetched", {"keys": 1, "withdrawn": 1, "skipped": []})


async def test_an_emptied_key_set_withdraws_all_keys(gateway: Gateway, issuer: Issuer) -> None:
    await gateway.lookup("old")
    issuer.publish()
    await gateway.keys.refresh()
    with pytest.raises(UnknownKey):
        await gateway.lookup("old")


async def test_a_known_kid_with_another_algorithm_causes_no_fetch(gateway: Gateway, issuer: Issuer) -> None:
    """C34"""
    await gateway.lookup("old")
    gateway.clock.now = NOW + 31
    with pytest.raises(WrongAlgorithm):
        await gateway.lookup("old", "RS256")
    assert len(issuer.requests) == 1


async def test_the_last_good_keys_serve_while_the_issuer_is_down(gateway: Gateway, issuer: Issuer) -> None:
    """C65"""
    await gateway.lookup("old")
    issuer.status = 500
    for seconds in (60, 600, 3599):
        gateway.clock.now = NOW + seconds
        await gateway.keys.refresh()
        assert await gateway.lookup("old")
    assert gateway.keys.fetches == {"ok": 1, "failed": 3}
    assert gateway.keys.fetched_at == NOW
    assert gateway.notices[-1] == ("keys_fetch_failed", {"error": f"{issuer.jwks_uri} answered 500"})


async def test_keys_that_are_too_old_cannot_tell(gateway: Gateway, issuer: Issuer) -> None:
    """C65"""
    await gateway.lookup("old")
    issuer.status = 500
    gateway.clock.now = NOW + 3600
    with pytest.raises(KeysUnavailable):
        await gateway.lookup("old")
    issuer.status = 200
    gateway.clock.now += 30
    assert await gateway.lookup("old")


async def test_whoever_asks_about_a_time_to_come_gets_the_answer_of_today(gateway: Gateway, issuer: Issuer) -> None:
    await gateway.lookup("old")
    later = NOW + 10 * TIMING.max_stale
    [key] = found if isinstance(found := gateway.keys.lookup("old", "EdDSA", later), tuple) else ()
    assert key.kid == "old"
    with pytest.raises(UnknownKey):
        gateway.keys.lookup("junk", "EdDSA", later)
    assert len(issuer.requests) == 1


async def test_an_unknown_kid_cannot_be_judged_while_the_issuer_is_down(gateway: Gateway, issuer: Issuer) -> None:
    await gateway.lookup("old")
    issuer.status = 500
    gateway.clock.now = NOW + 31
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            await gateway.lookup("new")
    assert len(issuer.requests) == 2


async def test_without_any_keys_nobody_is_refused_or_let_in(gateway: Gateway, issuer: Issuer) -> None:
    issuer.status = 503
    for _ in range(10):
        with pytest.raises(KeysUnavailable):
            await gateway.lookup("old")
    assert len(issuer.requests) == 1


async def test_an_issuer_that_cannot_be_reached_is_a_failed_fetch() -> None:
    gateway = Gateway(FixedLocation("http://127.0.0.1:1/jwks"))
    with pytest.raises(KeysUnavailable):
        await gateway.lookup("old")
    assert gateway.keys.fetches == {"ok": 0, "failed": 1}
    await gateway.client.close()


@pytest.mark.parametrize(
    "document",
    [
        b"<html>",
        b'{"keys":1}',
        b'{"keys":[],"keys":[]}',
        json.dumps({"keys": [{}] * (MAX_KEYS + 1)}).encode(),
        b'{"keys":[]' + b" " * MAX_DOCUMENT + b"}",
    ],
)
async def test_a_document_that_is_no_key_set_changes_nothing(gateway: Gateway, issuer: Issuer, document: bytes) -> None:
    await gateway.lookup("old")
    issuer.document = document
    await gateway.keys.refresh()
    assert await gateway.lookup("old")
    assert gateway.keys.fetches == {"ok": 1, "failed": 1}


async def test_bad_keys_are_skipped_and_reported(gateway: Gateway, issuer: Issuer) -> None:
    """C61, C66, C67: a symmetric key from the net would let anybody who reads it mint tokens."""
    issuer.publish(make_key("HS256", "s"), make_key("RS256", "weak", bits=1024), OLD)
    await gateway.lookup("old")
    assert gateway.notices[0][1]["keys"] == 1
    assert len(gateway.notices[0][1]["skipped"]) == 2
    for kid, alg in (("s", "HS256"), ("weak", "RS256")):
        with pytest.raises(UnknownKey):
            await gateway.lookup(kid, alg)


async def test_keys_are_kept_fresh_in_the_background(gateway: Gateway, issuer: Issuer) -> None:
    task = asyncio.create_task(gateway.keys.keep_fresh())
    assert 540 <= await gateway.pauses.get() <= 660
    issuer.publish(NEW)
    gateway.wake.release()
    await gateway.pauses.get()
    assert not isinstance(gateway.keys.lookup("new", "ES256", NOW), Pending)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_failures_are_retried_soon_and_then_more_slowly(gateway: Gateway, issuer: Issuer) -> None:
    issuer.status = 500
    task = asyncio.create_task(gateway.keys.keep_fresh())
    for pause in (1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE):
        assert 0.9 * pause <= await gateway.pauses.get() <= 1.1 * pause
        gateway.wake.release()
    issuer.status = 200
    while await gateway.pauses.get() < 540:
        gateway.wake.release()
    issuer.status = 500
    gateway.wake.release()
    assert await gateway.pauses.get() < 2
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_a_bug_ends_the_background_work_and_refuses_nobody() -> None:
    gateway = Gateway(Broken())
    with pytest.raises(ZeroDivisionError):
        await gateway.keys.keep_fresh()
    gateway.clock.now += 1
    with pytest.raises(KeysUnavailable):
        await gateway.lookup("old")


class Broken:
    async def jwks_uri(self, fetch: Any) -> str:
        raise ZeroDivisionError


# --- discovery


async def discovering(issuer: Issuer, name: str | None = None, *, allow_http: bool = True) -> Gateway:
    gateway = Gateway(Discovery(name or issuer.url, allow_http))
    await gateway.keys.refresh()
    await gateway.client.close()
    return gateway


async def test_the_key_set_is_discovered(issuer: Issuer) -> None:
    gateway = await discovering(issuer)
    assert issuer.requests == ["/.well-known/openid-configuration", "/jwks"]
    assert gateway.keys.fetches == {"ok": 1, "failed": 0}


async def test_the_path_of_an_issuer_stays_in_front(issuer: Issuer) -> None:
    for name in ("/realms/a", "/realms/b/"):
        issuer.metadata["issuer"] = issuer.url + name
        gateway = await discovering(issuer, issuer.url + name)
        assert gateway.keys.fetches["ok"] == 1
    assert issuer.requests[::2] == [f"/realms/{realm}/.well-known/openid-configuration" for realm in "ab"]


@pytest.mark.parametrize("claimed", ["https://other.example", "{url}/", "", None, 1])
async def test_the_metadata_of_another_issuer_is_refused(issuer: Issuer, claimed: Any) -> None:
    issuer.metadata["issuer"] = claimed.format(url=issuer.url) if isinstance(claimed, str) else claimed
    gateway = await discovering(issuer)
    assert gateway.keys.fetches == {"ok": 0, "failed": 1}
    assert len(issuer.requests) == 1


@pytest.mark.parametrize("uri", [None, 1, "", "/jwks", "file:///etc/passwd", "ftp://x/jwks", "//x/jwks"])
async def test_a_key_set_is_fetched_over_http_only(issuer: Issuer, uri: Any) -> None:
    issuer.metadata["jwks_uri"] = uri
    gateway = await discovering(issuer)
    assert gateway.keys.fetches == {"ok": 0, "failed": 1}
    assert len(issuer.requests) == 1


async def test_a_discovered_key_set_must_be_https_unless_http_is_accepted(issuer: Issuer) -> None:
    gateway = await discovering(issuer, allow_http=False)
    assert gateway.keys.fetches == {"ok": 0, "failed": 1}
    assert "no https jwks_uri" in gateway.notices[0][1]["error"]


async def test_metadata_that_is_not_strict_json_is_refused() -> None:
    async def fetch(url: str, max_bytes: int) -> bytes:
        return b'{"issuer":"a","issuer":"b"}'

    with pytest.raises(SourceFailed, match="strict JSON"):
        await Discovery("https://gw.example").jwks_uri(fetch)
