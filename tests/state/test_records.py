import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.model.errors import StoreUnavailable
from gateway.model.session import End, EndReason, Session
from gateway.state.records import KEPT, decode, encode, kept_until, live_until
from tests.minting import NOW
from tests.state.making import new_session, over, rotated

texts = st.text(st.characters(exclude_categories=[]))
times = st.integers(0, 2**40)
claims = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=10,
)
sessions = st.builds(
    Session,
    sid=st.text("abcXYZ019-_", min_size=22, max_size=22),
    subject=texts,
    client_id=texts,
    generation=times,
    rotated_at_ms=times,
    access_issued_at=times,
    access_lifetime=times,
    created_at=times,
    last_used_at=times,
    idle_expires_at=st.none() | times,
    absolute_expires_at=times,
    scope=texts,
    access_scope=texts,
    salt=st.binary(max_size=40),
    refresh_kid=st.integers(0, 255),
    signing_kid=texts,
    acknowledged=st.booleans(),
    claims=st.dictionaries(texts, claims),
    device=texts,
    address=texts,
    ended=st.none() | st.builds(End, st.sampled_from(EndReason), times),
    version=st.integers(0, 2**53),
    commit_id=st.integers(0, 2**32 - 1),
)


@settings(max_examples=50)
@given(sessions)
def test_any_session_comes_back_as_it_was_and_is_written_the_same_again(session: Session) -> None:
    record = encode(session)
    read = decode(record, session.sid)
    assert read == session
    assert list(read.claims) == list(session.claims)
    assert encode(read) == record


@settings(max_examples=50, suppress_health_check=[HealthCheck.too_slow])
@given(sessions, sessions, st.data())
def test_sessions_that_differ_in_anything_have_different_records(
    one: Session, other: Session, data: st.DataObject
) -> None:
    field = data.draw(st.sampled_from([name for name in Session._fields if name != "sid"]))
    changed = one._replace(**{field: getattr(other, field)})
    assert (encode(changed) == encode(one)) == (str(getattr(changed, field)) == str(getattr(one, field)))


def test_a_usual_record_is_small() -> None:
    assert len(encode(rotated(new_session(NOW, "3f0c9f0e-5a53-4be8-9a39-1f3f6f9b7a55")))) <= 320


def test_a_record_is_what_it_was_in_earlier_releases() -> None:
    """What is stored must be read by every later release: if this fails, there must be a new format."""
    written = (
        b'12884901895 {"f":1,"u":"alice","c":"web","g":2,"al":600,"b":1700000000,"s":"a b","rk":1,"sk":"k1","a":0,'
        b'"l":5,"ie":604800,"ae":2592000,"r":1000,"as":"a","n":"c2FsdA==","k":true,"m":{"role":"x"},"d":"phone",'
        b'"ip":"192.0.2.0/24","e":["logout",1700000001001]}'
    )
    session = Session(
        sid="AAAAAAAAAAAAAAAAAAAAAA",
        subject="alice",
        client_id="web",
        generation=2,
        rotated_at_ms=1700000001000,
        access_issued_at=1700000000,
        access_lifetime=600,
        created_at=1700000000,
        last_used_at=1700000005,
        idle_expires_at=1700604800,
        absolute_expires_at=1702592000,
        scope="a b",
        access_scope="a",
        salt=b"salt",
        refresh_kid=1,
        signing_kid="k1",
        acknowledged=True,
        claims={"role": "x"},
        device="phone",
        address="192.0.2.0/24",
        ended=End(EndReason.LOGOUT, 1700000001001),
        version=3,
        commit_id=7,
    )
    assert decode(written, session.sid) == session
    assert encode(session) == written


def broken(change: dict[str, Any], *without: str) -> bytes:
    edition, _, text = encode(over(new_session(NOW, sid="A" * 22, subject="secret-name"))).partition(b" ")
    record = json.loads(text) | change
    return edition + b" " + json.dumps({name: value for name, value in record.items() if name not in without}).encode()


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff\xfe",
        encode(new_session(NOW, sid="A" * 22))[:-1],
        b"[" * 100_000,
        broken({"f": 2}),
        broken({"f": "1"}),
        broken({}, "f"),
        broken({}, "u"),
        broken({}, "a"),
        broken({"ie": "soon"}),
        b"x" + broken({}),
        broken({}).partition(b" ")[2],
        broken({}, "n"),
        broken({"n": 1}),
        broken({"n": "é"}),
        broken({"e": ["sunspots", 1]}),
        broken({"e": ["logout"]}),
        broken({"e": 5}),
    ],
    ids=lambda record: ascii(record[:20]),
)
def test_a_record_that_cannot_be_read_is_never_no_session(record: bytes) -> None:
    """An unknown format, or a damaged record: fail closed, and log nobody out."""
    with pytest.raises(StoreUnavailable, match="session AAAAAAAAAAAAAAAAAAAAAA") as caught:
        decode(record, "A" * 22)
    assert "secret-name" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    "claims",
    [{"x": float("nan")}, {"x": float("inf")}, {"x": b"bytes"}, {"x": object()}],
    ids=["NaN", "infinity", "bytes", "object"],
)
def test_claims_that_json_cannot_express_are_refused_before(claims: dict[str, Any]) -> None:
    with pytest.raises((ValueError, TypeError)):
        encode(new_session(NOW, claims=claims))


def test_a_record_is_kept_as_long_as_a_token_could_be_good() -> None:
    session = new_session(NOW, idle_expires_at=NOW + 100, absolute_expires_at=NOW + 1000, access_lifetime=10)
    assert kept_until(session) == NOW + 100 + KEPT
    assert kept_until(session._replace(access_lifetime=200)) == NOW + 200 + KEPT
    assert kept_until(session._replace(access_lifetime=5000)) == NOW + 1000 + KEPT
    assert kept_until(over(session)) == kept_until(session)


def test_a_session_lives_until_it_expires_or_ends() -> None:
    session = new_session(NOW, idle_expires_at=NOW + 100)
    assert live_until(session) == NOW + 100
    assert live_until(over(session)) == 0
