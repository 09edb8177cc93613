"""What only a store in Redis can meet: servers that hang, die, fail over, forget, or forbid."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import pytest
from redis.crc import key_slot

from gateway.model.errors import StoreUnavailable, Unconfirmed
from gateway.state.base import BadStore, Change, Commit, Gap
from gateway.state.redis_feed import RedisFeed
from gateway.state.redis_store import RedisStore
from tests.ports import free_port
from tests.state.between import between
from tests.state.making import a_revocation, change_of, new_session, opening, over, revocation_of, rotated
from tests.state.redis_servers import (
    Notices,
    RedisServer,
    SentinelGroup,
    connect,
    server_of,
    shared,
    start_sentinel_group,
    wait_until,
    wipe,
)
from tests.trips.certificates import make_authority

Handles = tuple[RedisStore, RedisFeed]
T = TypeVar("T")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with server_of(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def group(tmp_path: Path) -> Iterator[SentinelGroup]:
    group = start_sentinel_group(tmp_path)
    try:
        yield group
    finally:
        group.stop()


@asynccontextmanager
async def opened(url: str, notices: Notices | None = None, **settings: Any) -> AsyncIterator[Handles]:
    store, feed = connect(url, notices, **settings)
    try:
        await store.open()
        yield store, feed
    finally:
        await store.close()


def url_of(server: RedisServer) -> str:
    return f"redis://127.0.0.1:{server.port}"


async def seconds(store: RedisStore) -> int:
    return await store.clock() // 1000


async def eventually(call: Callable[[], Awaitable[T]]) -> T:
    """Call again until it works."""
    end = time.monotonic() + 20
    while True:
        try:
            return await call()
        except StoreUnavailable:
            assert time.monotonic() < end
            await asyncio.sleep(0.05)


# --- hanging and dying


async def test_a_server_that_does_not_answer_is_unavailable_within_the_deadline(server: RedisServer) -> None:
    async with opened(url_of(server), timeout=0.3) as (store, feed):
        cursor = (await feed.snapshot()).cursor
        session = new_session(await seconds(store))
        server.pause()
        try:
            for call in (store.load(session.sid), store.commit(opening(session)), feed.tail(cursor), feed.snapshot()):
                async with asyncio.timeout(5):
                    with pytest.raises(StoreUnavailable, match=r"did not answer within 0\.3 s"):
                        await call
        finally:
            server.resume()
        assert await eventually(lambda: store.commit(opening(session)))


async def test_a_server_that_was_killed_and_started_again_is_used_again_at_once(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, feed):
        cursor = (await feed.snapshot()).cursor
        server.kill()
        with pytest.raises(StoreUnavailable):
            await store.clock()
        server.start()
        assert await store.clock()
        with pytest.raises(Gap, match="epoch"):
            await feed.tail(cursor)


async def test_a_restart_between_two_calls_is_not_noticed(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, _):
        server.kill()
        server.start()
        assert await store.clock()


async def test_a_commit_whose_reply_was_lost_is_done_again_and_holds(server: RedisServer) -> None:
    async with (
        between(server.port) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}", timeout=0.3) as handles,
    ):
        store, _ = handles
        session = new_session(await seconds(store))
        await store.commit(opening(new_session(await seconds(store), "somebody")))  # now the server has the script
        proxy.swallows = True
        with pytest.raises(StoreUnavailable):
            await store.commit(opening(session))
        proxy.swallows = False
        assert (await store.load(session.sid))[0] == session
        assert await store.commit(opening(session))


async def test_a_call_that_was_cancelled_leaves_no_reply_to_the_next_one(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, _):
        now = await seconds(store)
        sessions = [new_session(now, str(number)) for number in range(20)]
        for session in sessions:
            await store.commit(opening(session))
        for session in sessions:
            reading = asyncio.ensure_future(store.load(session.sid))
            for _ in range(3):
                await asyncio.sleep(0)
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading
            assert (await store.load(sessions[0].sid))[0] == sessions[0]


async def test_a_crowd_takes_turns_and_none_of_it_runs_out_of_time(server: RedisServer) -> None:
    """All at once they would take twice the deadline."""
    async with (
        between(server.port) as proxy,
        opened(f"redis://127.0.0.1:{proxy.port}", timeout=0.5) as (store, _),
    ):
        session = new_session(await seconds(store))
        await store.commit(opening(session))
        proxy.delay = 0.1
        loaded = await asyncio.gather(*(store.load(session.sid) for _ in range(250)))
        assert [each for each, _ in loaded] == [session] * 250


async def test_who_has_no_turn_in_a_long_time_is_told_so(server: RedisServer) -> None:
    async with opened(url_of(server), timeout=0.1) as (store, _):
        server.pause()
        try:
            failures = await asyncio.gather(*(store.clock() for _ in range(250)), return_exceptions=True)
        finally:
            server.resume()
        assert {type(each) for each in failures} == {StoreUnavailable}
        assert any("did not answer" in str(each) for each in failures)
        assert any("at once" in str(each) for each in failures)  # which of them depends on the machine
        assert await eventually(store.clock)


async def test_scripts_that_the_server_forgot_are_sent_again(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, feed):
        cursor = (await feed.snapshot()).cursor
        server.run("SCRIPT FLUSH")
        session = new_session(await seconds(store))
        assert await store.commit(opening(session))
        server.run("SCRIPT FLUSH")
        assert await feed.tail(cursor)
        assert (await store.sessions_of("alice"))[0] == [session]


# --- failing over


async def test_the_new_primary_is_found_without_a_restart(group: SentinelGroup) -> None:
    async with opened(group.url) as (store, feed):
        cursor = (await feed.snapshot()).cursor
        session = new_session(await seconds(store))
        assert await store.commit(opening(session, is_durable=True))
        group.primary.kill()
        await asyncio.to_thread(group.fail_over)
        assert (await eventually(lambda: store.load(session.sid)))[0] == session
        assert await store.commit(Commit((change_of(rotated(session)),)))
        assert (await feed.tail(cursor)).revocations == []


async def test_news_that_a_server_lost_are_a_gap_even_if_others_took_their_place(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, feed):
        now = await seconds(store)
        await feed.publish([a_revocation(now)])
        server.run("SAVE")
        await feed.publish([a_revocation(now)])
        cursor = (await feed.snapshot()).cursor
        server.kill()
        server.start()
        for _ in range(3):  # it has fewer news, then as many others, then more
            with pytest.raises(Gap, match="rewound"):
                await feed.tail(cursor)
            await feed.publish([a_revocation(now)])


async def test_a_cut_off_primary_gives_news_that_grow_old(tmp_path: Path) -> None:
    """C188"""
    with server_of(tmp_path / "redis") as server:
        async with opened(url_of(server)) as (store, feed):
            cursor = (await feed.snapshot()).cursor
            server.run("CONFIG SET", "min-replicas-to-write", 1)
            with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                await store.commit(opening(new_session(await seconds(store))))
            with pytest.raises(StoreUnavailable, match="NOREPLICAS"):
                await feed.publish([a_revocation(1)])
            await asyncio.sleep(1.2)
            assert (await feed.tail(cursor)).age > 1
            assert (await feed.snapshot()).age > 1
            server.run("CONFIG SET", "min-replicas-to-write", 0)
            assert (await feed.tail(cursor)).age < 1


async def test_a_replica_takes_nothing_and_its_news_grow_old(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, feed):
        cursor = (await feed.snapshot()).cursor
        server.run("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StoreUnavailable, match="READONLY"):
            await store.commit(opening(new_session(1)))
        await asyncio.sleep(1.2)
        assert (await feed.tail(cursor)).age > 1


async def test_what_no_replica_confirms_does_not_count_as_done(tmp_path: Path) -> None:
    with (
        server_of(tmp_path / "one") as primary,
        server_of(tmp_path / "two", replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        wait_until(lambda: primary.run("WAIT", 1, 100) == 1)
        async with opened(url_of(primary), timeout=1) as (store, feed), opened(url_of(primary), timeout=1) as others:
            session = new_session(await seconds(store))
            assert await store.commit(opening(session, is_durable=True))
            revocation = a_revocation(await seconds(store))
            replica.pause()
            with pytest.raises(Unconfirmed):
                await store.commit(Commit((change_of(rotated(session)),), is_durable=True))
            for each in (feed, others[1]):  # the second time nothing changes, and it is not confirmed either
                with pytest.raises(Unconfirmed):
                    await each.publish([revocation], is_durable=True)
            assert not await store.commit(opening(session, is_durable=True))  # "no" needs no confirmation
            replica.resume()


async def test_who_waits_for_a_replica_holds_nobody_up(tmp_path: Path) -> None:
    with (
        server_of(tmp_path / "one") as primary,
        server_of(tmp_path / "two", replicaof=f"127.0.0.1 {primary.port}") as replica,
    ):
        wait_until(lambda: primary.run("WAIT", 1, 100) == 1)
        async with opened(url_of(primary), timeout=20) as (store, _):
            session = new_session(await seconds(store))
            assert await store.commit(opening(session, is_durable=True))
            replica.pause()
            durable = asyncio.ensure_future(store.commit(Commit((change_of(rotated(session)),), is_durable=True)))
            while (await store.load(session.sid))[0] != rotated(session):
                pass
            for _ in range(100):
                assert (await store.load(session.sid))[0] == rotated(session)
            assert not durable.done()
            replica.resume()
            assert await durable


async def test_without_replicas_nobody_waits_for_one(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, _):
        assert await store.commit(opening(new_session(await seconds(store)), is_durable=True))
    async with opened(url_of(server), wait_replicas=1, timeout=0.4) as (store, _):
        with pytest.raises(Unconfirmed):
            await store.commit(opening(new_session(await seconds(store)), is_durable=True))


# --- news


async def test_news_trimmed_before_they_were_read_are_a_gap(server: RedisServer) -> None:
    """C185"""
    async with opened(url_of(server)) as (store, feed):
        now = await seconds(store)
        first = (await feed.snapshot()).cursor
        await feed.publish([a_revocation(now)])
        second = (await feed.snapshot()).cursor
        await feed.publish([a_revocation(now) for _ in range(2500)])
        assert len((await feed.tail(second)).revocations) == 2500
        (news,) = server.run("KEYS", "*:news")
        server.run("XTRIM", news, "MAXLEN", 5)
        for cursor in (first, second):
            with pytest.raises(Gap, match="trimmed"):
                await feed.tail(cursor)
        assert len((await feed.snapshot()).revocations) == 2501


async def test_what_has_ended_is_forgotten(server: RedisServer) -> None:
    async with opened(url_of(server)) as (store, feed):
        now = await seconds(store)
        await feed.publish([a_revocation(now, until=now + 1), a_revocation(now, until=now - 10)])
        assert len((await feed.snapshot()).revocations) == 1
        await feed.publish([a_revocation(now)])
        await asyncio.sleep(2.5)
        await feed.publish([a_revocation(now)])
        (revoked,) = server.run("KEYS", "*:revoked")
        assert server.run("HLEN", revoked) == 2


# --- setting up


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_server_that_evicts_is_refused(tmp_path: Path, policy: str) -> None:
    with server_of(tmp_path, maxmemory_policy=policy) as server:
        store, _ = connect(url_of(server))
        with pytest.raises(BadStore, match=f"{policy}.*Set it to noeviction"):
            await store.open()
        await store.close()


async def test_a_server_that_does_not_tell_its_policy_is_used_with_a_warning(server: RedisServer) -> None:
    rules = ("on", ">s3cret", "~gateway:*", "+@all", "-@dangerous", "-@admin")
    server.run("ACL SETUSER", "ann", *rules)
    notices: Notices = []
    async with opened(f"redis://ann:s3cret@127.0.0.1:{server.port}", notices) as (store, feed):
        session = new_session(await seconds(store))
        assert await store.commit(opening(session, is_durable=True))
        assert await feed.snapshot()
    assert [event for event, _ in notices] == ["redis_version_unknown", "redis_policy_unknown"]


async def test_a_wrong_password_is_told_without_it(server: RedisServer, tmp_path: Path) -> None:
    server.run("ACL SETUSER", "ann", "on", ">right", "~*", "+@all")
    with pytest.raises(StoreUnavailable, match=r"(?i)invalid username-password") as raised:
        async with opened(f"redis://ann:s3cret@127.0.0.1:{server.port}"):
            pass
    told: BaseException | None = raised.value
    while told is not None:
        assert "s3cret" not in repr(told)
        told = told.__cause__
    file = tmp_path / "password"
    file.write_text("right\n")
    async with opened(url_of(server), username="ann", password_file=str(file)) as (store, _):
        assert await store.clock()
        file.unlink()
        server.run("CLIENT KILL", "TYPE", "normal")
        with pytest.raises(StoreUnavailable, match="password file password cannot be read"):
            await store.clock()


async def test_tls_checks_the_server_and_shows_our_certificate(tmp_path: Path) -> None:
    authority, other = make_authority(tmp_path), make_authority(tmp_path, "other")
    certificate, key = authority.issue("localhost")
    own, own_key = authority.issue("gateway")
    ours = {"ssl_certfile": str(own), "ssl_keyfile": str(own_key)}
    options = {"tls-cert-file": certificate, "tls-key-file": key, "tls-ca-cert-file": authority.file}
    server = RedisServer(tmp_path / "redis", {name: str(file) for name, file in options.items()}, is_tls=True)
    server.client_tls = ours
    server.start()
    try:
        url = f"rediss://127.0.0.1:{server.port}"
        files: dict[str, Any] = {"ca": str(authority.file), "certificate": str(own), "key": str(own_key)}
        async with opened(url, None, **files) as (store, feed):
            assert await store.commit(opening(new_session(await seconds(store))))
            assert (await feed.snapshot()).revocations == []
        for wrong in (files | {"ca": str(other.file)}, {"ca": files["ca"]}):
            with pytest.raises(StoreUnavailable):
                async with opened(url, None, **wrong):
                    pass
    finally:
        server.kill()


async def test_a_unix_socket_will_do(tmp_path: Path) -> None:
    with server_of(tmp_path, unixsocket=str(tmp_path / "s")):
        async with opened(f"redis+unix://{tmp_path}/s?db=3") as (store, _):
            assert await store.clock()


async def test_another_prefix_is_another_store(server: RedisServer) -> None:
    async with opened(url_of(server)) as (one, one_feed), opened(url_of(server), prefix="other") as (two, two_feed):
        session = new_session(await seconds(one))
        await one.commit(opening(session))
        await one_feed.publish([a_revocation(await seconds(one))])
        assert (await two.load(session.sid))[0] is None
        assert (await two_feed.snapshot()).revocations == []


async def test_another_number_of_shards_is_refused(server: RedisServer) -> None:
    async with opened(url_of(server), shards=4):
        pass
    with pytest.raises(BadStore, match="set up with 4 shards, not 1"):
        async with opened(url_of(server)):
            pass


async def test_the_kind_of_store_must_be_the_one_that_is_there(server: RedisServer) -> None:
    _, nodes = shared("cluster")
    with pytest.raises(BadStore, match="belongs to a cluster"):
        async with opened(url_of(nodes[0])):
            pass
    with pytest.raises(BadStore, match="is no cluster"):
        async with opened(f"redis+cluster://127.0.0.1:{server.port}"):
            pass
    with pytest.raises(StoreUnavailable, match="No such master"):
        async with opened(f"redis+sentinel://127.0.0.1:{shared('sentinel')[0].rsplit(':', 1)[1].split('/')[0]}/none"):
            pass


# --- keys


async def test_only_the_head_of_a_feed_lives_for_ever_and_a_subject_lives_in_one_slot() -> None:
    url, nodes = shared("cluster")
    wipe(nodes)
    async with opened(url) as (store, feed):
        await feed.snapshot()
        now = await seconds(store)
        await feed.publish([a_revocation(now) for _ in range(20)])
        wipe(nodes)
        session, other = (new_session(now, shards=store.shards) for _ in range(2))
        await store.commit(opening(session, other))
        await store.commit(Commit((change_of(over(session)),), (revocation_of(session),)))
        keys = [(node, key) for node in nodes for key in node.run("KEYS", "*")]
        assert len({key_slot(key) for _, key in keys}) == 1
        assert sorted(key.split(b":")[2] for _, key in keys) == [
            b"ends",
            b"head",
            b"news",
            b"revoked",
            b"s",
            b"s",
            b"u",
        ]
        for node, key in keys:
            assert (node.run("TTL", key) > 0) != key.endswith(b":head")


async def test_a_slot_that_moves_is_followed() -> None:
    url, nodes = shared("cluster")
    wipe(nodes)
    async with opened(url) as (store, _):
        session = new_session(await seconds(store), shards=store.shards)
        await store.commit(opening(session))
        (source, key), *_ = [(node, key) for node in nodes for key in node.run("KEYS", f"*:s:{session.sid}")]
        slot = key_slot(key)
        target = next(node for node in nodes if node is not source)
        source_id, target_id = (node.run("CLUSTER", "MYID").decode() for node in (source, target))
        target.run("CLUSTER", "SETSLOT", slot, "IMPORTING", source_id)
        source.run("CLUSTER", "SETSLOT", slot, "MIGRATING", target_id)
        for moving in source.run("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.run("MIGRATE", "127.0.0.1", target.port, moving, 0, 1000)
        assert (await store.load(session.sid))[0] == session
        with pytest.raises(StoreUnavailable, match="TRYAGAIN"):
            await store.commit(Commit((change_of(rotated(session)),)))
        for node in (target, source, *nodes):
            node.run("CLUSTER", "SETSLOT", slot, "NODE", target_id)
        assert await store.commit(Commit((change_of(rotated(session)),)))
        assert (await store.load(session.sid))[0] == rotated(session)


async def test_a_record_deleted_by_hand_is_no_session_and_hinders_no_login(server: RedisServer) -> None:
    """C121"""
    async with opened(url_of(server)) as (store, _):
        now = await seconds(store)
        session, other = new_session(now), new_session(now)
        await store.commit(opening(session))
        server.run("DEL", *server.run("KEYS", f"*:s:{session.sid}"))
        assert (await store.load(session.sid))[0] is None
        assert (await store.sessions_of("alice"))[0] == []
        assert await store.commit(Commit((Change(other, None),), expected_sids=frozenset()))
