import asyncio
import os
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from gateway.mechanisms.key_file import INTERVAL, MAX_BYTES, KeyFile, read_key_file
from gateway.tokens.own_keys import BadKeyring, OwnKeys
from tests.issuing import Clock
from tests.minting import NOW, make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk

A1, A2 = private_jwk(make_key("EdDSA", "a1")), private_jwk(make_key("ES256", "a2"))
FIRST, SECOND = key_file(A1, refresh_jwk()), key_file(A1, A2, refresh_jwk(), refresh_jwk(1))


def put(path: Path, content: bytes, mode: int = 0o600) -> None:
    """Replace a file, as a careful writer does."""
    temporary = path.with_name("temporary")
    temporary.write_bytes(content)
    temporary.chmod(mode)
    temporary.rename(path)


class Watched:
    """A key file that is watched, and what was reported of it."""

    def __init__(self, path: Path, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self.path = path
        self.clock = Clock(NOW)
        self.keys = OwnKeys(read_key_file(path, self.clock))
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.file = KeyFile(path, self.keys, lambda *notice: self.notices.append(notice), clock=self.clock, sleep=sleep)

    def events(self) -> list[str]:
        return [event for event, _ in self.notices]

    def kids(self) -> list[str]:
        return [key.signer.kid for key in self.keys.current.access]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    put(tmp_path / "keys.json", FIRST)
    return tmp_path / "keys.json"


async def test_a_file_that_does_not_change_is_not_worth_a_word(path: Path) -> None:
    watched = Watched(path)
    before = watched.keys.current
    await watched.file.look()
    put(path, FIRST)
    await watched.file.look()
    assert watched.notices == []
    assert watched.keys.current is before


async def test_new_keys_are_put_in_force(path: Path) -> None:
    watched = Watched(path)
    await watched.file.look()
    put(path, SECOND)
    await watched.file.look()
    assert watched.notices == [("keys_reloaded", {"kids": ["a1", "a2"], "refresh_kids": [0, 1]})]
    assert watched.keys.lookup("a2", "ES256", NOW)


async def test_a_change_between_the_start_and_the_first_look_is_seen(path: Path) -> None:
    watched = Watched(path)
    put(path, SECOND)
    await watched.file.look()
    assert watched.kids() == ["a1", "a2"]


async def test_a_file_that_is_written_in_place_is_read_again(path: Path) -> None:
    watched = Watched(path)
    await watched.file.look()
    path.write_bytes(SECOND)
    await watched.file.look()
    assert watched.kids() == ["a1", "a2"]


async def test_a_directory_behind_a_symbolic_link_may_be_swapped(tmp_path: Path) -> None:
    """As Kubernetes updates the volume of a secret: the same size, and even the same times."""
    for name, jwk in (("first", A1), ("second", private_jwk(make_key("EdDSA", "b1")))):
        (tmp_path / name).mkdir()
        put(tmp_path / name / "keys.json", key_file(jwk, refresh_jwk()))
        os.utime(tmp_path / name / "keys.json", (NOW, NOW))
    (tmp_path / "..data").symlink_to("first")
    (tmp_path / "keys.json").symlink_to("..data/keys.json")
    watched = Watched(tmp_path / "keys.json")
    await watched.file.look()
    (tmp_path / "..new").symlink_to("second")
    (tmp_path / "..new").rename(tmp_path / "..data")
    await watched.file.look()
    assert watched.kids() == ["b1"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is not a JWK set: "),
        (SECOND[:-5], "is not a JWK set: "),
        (key_file(A1), "it holds no key with use refresh"),
        (b" " * (MAX_BYTES + 1), "is larger than 256 KiB"),
        (None, "cannot be read: No such file or directory; make it with gateway keys create"),
    ],
)
async def test_a_broken_file_leaves_the_old_keys_in_force(path: Path, content: bytes | None, reason: str) -> None:
    """It is reported once, not at every look."""
    watched = Watched(path)
    if content is None:
        path.unlink()
    else:
        put(path, content)
    for _ in range(3):
        await watched.file.look()
    [(event, fields)] = watched.notices
    assert event == "keys_reload_failed"
    assert fields["file"] == str(path)
    assert reason in fields["reason"]
    assert watched.kids() == ["a1"]
    put(path, SECOND)
    await watched.file.look()
    assert watched.events() == ["keys_reload_failed", "keys_reloaded"]


async def test_a_directory_is_no_key_file(path: Path) -> None:
    watched = Watched(path)
    path.unlink()
    path.mkdir()
    await watched.file.look()
    assert watched.events() == ["keys_reload_failed"]


async def test_a_file_may_become_good_by_the_passing_of_time(path: Path) -> None:
    watched = Watched(path)
    put(path, key_file(private_jwk(make_key("EdDSA", "later"), NOW + 60), refresh_jwk()))
    await watched.file.look()
    assert watched.kids() == ["a1"]
    watched.clock.now = NOW + 60
    await watched.file.look()
    assert watched.kids() == ["later"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
async def test_a_file_that_others_can_use_is_reported(path: Path, mode: int) -> None:
    """Once, and again only if the file changes."""
    path.chmod(mode)
    watched = Watched(path)
    for _ in range(3):
        await watched.file.look()
    assert watched.notices == [("keys_exposed", {"file": str(path), "mode": f"{mode:04o}", "want": "0600"})]
    path.chmod(0o600)
    await watched.file.look()
    assert watched.events() == ["keys_exposed"]


async def test_the_file_is_looked_at_again_and_again(path: Path) -> None:
    pauses: list[float] = []
    enough = asyncio.Event()

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 1:
            put(path, SECOND)
        else:
            enough.set()
            await asyncio.Event().wait()

    watched = Watched(path, sleep)
    task = asyncio.create_task(watched.file.keep_fresh())
    await enough.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    assert watched.kids() == ["a1", "a2"]
    assert pauses == [INTERVAL, INTERVAL]


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadKeyring, match="cannot be read: No such file or directory"):
        read_key_file(tmp_path / "none")
