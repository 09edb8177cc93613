"""The setting `state`."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from gateway.state.base import BadStore
from gateway.state.opening import StateSettings, open_state
from gateway.state.store_url import StoreUrl, read_url
from tests.trips.certificates import make_authority


def settings(url: str, **others: object) -> StateSettings:
    return StateSettings.model_validate({"url": url} | others)


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("sqlite:state/gateway.db", StoreUrl("sqlite", path="state/gateway.db")),
        ("sqlite:/var/lib/gateway.db", StoreUrl("sqlite", path="/var/lib/gateway.db")),
        ("redis://cache", StoreUrl("single", (("cache", 6379),))),
        (
            "rediss://ann:s%40c@cache:7000/3",
            StoreUrl("single", (("cache", 7000),), db=3, is_tls=True, username="ann", password="s@c"),
        ),
        ("redis://:secret@[::1]:7000", StoreUrl("single", (("::1", 7000),), password="secret")),
        ("redis+unix:///run/redis.sock?db=2", StoreUrl("single", path="/run/redis.sock", db=2)),
        (
            "redis+sentinel://one,two:7000/main/1",
            StoreUrl("sentinel", (("one", 26379), ("two", 7000)), group="main", db=1),
        ),
        ("rediss+cluster://one,two:7000", StoreUrl("cluster", (("one", 6379), ("two", 7000)), is_tls=True)),
    ],
)
def test_a_url_says_where_the_store_is(url: str, place: StoreUrl) -> None:
    assert settings(url).place == place


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgres://u:s3cret@host/db", "is not the URL of a store"),
        ("redis://u:s3cret@", "names no server"),
        ("redis://u:s3cret@one,two", "names several servers"),
        ("redis://u:s3cret@one:99999", "is not HOST or HOST:PORT"),
        ("redis://u:s3cret@o ne", "is not HOST or HOST:PORT"),
        ("redis://u:s3cret@one/x", "number of a database"),
        ("redis://u:s3cret@one?ssl=true", "has a query"),
        ("redis+sentinel://u:s3cret@one", "names no group"),
        ("redis+cluster://u:s3cret@one/1", "names a database"),
        ("redis+unix://u:s3cret@host/x", "names no socket"),
        ("sqlite:", "names no file"),
        ("sqlite:///s3cret", "without slashes"),
    ],
)
def test_a_bad_url_gets_one_sentence_without_the_url(url: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as raised:
        read_url(url)
    with pytest.raises(ValidationError) as mistake:
        settings(url)
    assert "s3cret" not in str(raised.value)
    assert "s3cret" not in str(mistake.value)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"url": "sqlite:x", "shards": 4}, "shards: only for Redis"),
        ({"url": "redis://one", "ca": "ca.pem"}, "ca: only for TLS"),
        ({"url": "rediss://one", "key": "own.key"}, "belong together"),
        ({"url": "redis://one", "shards": 3}, "power of two"),
        ({"url": "redis://:s3cret@one", "password_file": "x"}, "more than once"),
        ({"url": "redis://ann:s3cret@one", "username": "bob"}, "given twice"),
        ({"url": "redis://one", "username": "bob"}, "without a password"),
        ({"url": "redis://one", "sentinel_password_file": "x"}, "only for redis\\+sentinel"),
        ({"url": "redis+sentinel://one/main", "sentinel_username": "x"}, "without a sentinel_password_file"),
        ({"url": "redis://one", "prefix": "a{b}"}, "pattern"),
    ],
)
def test_settings_that_contradict_each_other_are_mistakes(given: dict[str, object], words: str) -> None:
    with pytest.raises(ValidationError, match=words) as mistake:
        StateSettings.model_validate(given)
    assert "s3cret" not in str(mistake.value)


def test_no_password_shows_in_a_repr(tmp_path: Path) -> None:
    state = settings("redis://ann:s3cret@one")
    other = settings("redis://one", password="s3cret")
    assert "s3cret" not in repr([state, state.place, other, open_state(other, tmp_path)])


def test_sqlite_needs_nothing_of_redis() -> None:
    """At start, nobody waits for a library that is not used."""
    code = (
        "import sys; from pathlib import Path; from gateway.state.opening import *\n"
        "open_state(StateSettings(url='sqlite:x.db'), Path('.')); assert 'redis' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


async def test_sqlite_files_are_found_from_the_directory_of_the_configuration(tmp_path: Path) -> None:
    state = open_state(settings("sqlite:inner/gateway.db"), tmp_path)
    await state.store.open()
    await state.store.close()
    assert (tmp_path / "inner" / "gateway.db").exists()


def test_tls_files_that_cannot_be_used_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BadStore, match="TLS files"):
        open_state(settings("rediss://one", ca="missing.pem"), tmp_path)
    make_authority(tmp_path)
    open_state(settings("rediss://one", ca="ca.pem"), tmp_path)
