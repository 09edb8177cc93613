import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.mechanisms.base import BadSetting, Resources, offline_resources
from gateway.mechanisms.logins.base import Attempt, ProvenUser
from gateway.mechanisms.logins.hashes import PasswordHash
from gateway.mechanisms.logins.threads import BoundedThreads
from gateway.mechanisms.logins.users_file import LOOK_EVERY, UsersBook, UsersFileLogin, UsersFileSettings
from gateway.model.errors import LoginSaturated, LoginUnavailable, Refusal, WrongPassword
from tests.mechanisms.logins.hashing import cheap_argon2, cheap_bcrypt, cheap_scrypt

ALICE = f'alice:{cheap_argon2(b"right")}:{{"sub": "u-1", "scope": "a b", "claims": {{"team": "x"}}}}\n'
BOB = f"bob:{cheap_argon2(b'other')}\n"


class Desk:
    """A users file, a clock to set, and what was noticed."""

    def __init__(self, directory: Path, content: str) -> None:
        self.file = directory / "users"
        self.write(content)
        self.now = 0.0
        self.notices: list[tuple[str, dict[str, Any]]] = []
        self.book = UsersBook(self.file, Path("users"), lambda *notice: self.notices.append(notice), lambda: self.now)
        self.login = UsersFileLogin(self.book, BoundedThreads(2, 16, "test"))

    def write(self, content: str) -> None:
        temporary = self.file.with_name("temporary")
        temporary.write_text(content)
        os.replace(temporary, self.file)

    async def result(self, name: str, password: str = "right") -> str:
        try:
            return (await self.login.prove(attempt(name, password))).subject
        except Refusal as refusal:
            return refusal.reason


def attempt(name: str, password: str) -> Attempt:
    return Attempt(name, password, "192.0.2.1")


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path, ALICE + BOB)


async def test_the_right_password_proves_who_it_is(desk: Desk) -> None:
    assert await desk.login.prove(attempt("alice", "right")) == ProvenUser("u-1", "a b", {"team": "x"})
    assert await desk.login.prove(attempt("bob", "other")) == ProvenUser("bob")
    desk.login.close()


@pytest.mark.parametrize(
    ("name", "password"),
    [("alice", "other"), ("alice", ""), ("Alice", "right"), ("alice ", "right"), ("nobody", "right"), ("", "")],
)
async def test_all_else_is_one_and_the_same_refusal(desk: Desk, name: str, password: str) -> None:
    with pytest.raises(WrongPassword, match=r"^unknown user or wrong password$"):
        await desk.login.prove(attempt(name, password))
    desk.login.close()


async def test_what_is_typed_may_be_composed_or_not(tmp_path: Path) -> None:
    desk = Desk(tmp_path, f"rené:{cheap_argon2('café'.encode())}\n")
    assert await desk.result("rene\u0301", "cafe\u0301") == "rené"
    desk.login.close()


@pytest.mark.parametrize("name", ["alice", "nobody"])
async def test_an_endless_password_is_not_even_hashed(desk: Desk, verified: list[PasswordHash], name: str) -> None:
    assert await desk.result(name, "x" * 1025) == "wrong_password"
    assert verified == []
    desk.login.close()


@pytest.fixture
def verified(monkeypatch: pytest.MonkeyPatch) -> list[PasswordHash]:
    """What was verified. The verification itself is the real one."""
    seen: list[PasswordHash] = []
    real = PasswordHash.verify

    def verify(self: PasswordHash, password: bytes) -> bool:
        seen.append(self)
        return real(self, password)

    monkeypatch.setattr(PasswordHash, "verify", verify)
    return seen


async def test_an_unknown_user_costs_what_a_wrong_password_costs(desk: Desk, verified: list[PasswordHash]) -> None:
    """Enumeration of users by the time that an answer takes."""
    for name in ("alice", "bob", "nobody", "another", ""):
        assert await desk.result(name, "wrong") == "wrong_password"
    assert len(verified) == 5
    assert len({hashed.cost for hashed in verified}) == 1
    desk.login.close()


async def test_in_a_mixed_file_unknown_users_cost_as_the_known_ones_do(
    tmp_path: Path, verified: list[PasswordHash]
) -> None:
    """Enumeration of users by the time, in a file where not all hashes are of one kind."""
    bcrypt = "".join(f"user{number}:{cheap_bcrypt(b'x')}\n" for number in range(3))
    desk = Desk(tmp_path, ALICE + bcrypt)
    names = [f"unknown{number}" for number in range(40)]
    for _ in range(2):
        for name in names:
            await desk.result(name)
    algorithms = [hashed.cost.algorithm for hashed in verified]
    assert algorithms[:40] == algorithms[40:]
    assert 0 < algorithms[:40].count("argon2id") < 20 < algorithms[:40].count("bcrypt")
    other = Desk(tmp_path, ALICE + bcrypt)
    assert [other.book.find(name)[1].cost.algorithm for name in names] == algorithms[:40]
    desk.login.close()
    other.login.close()


async def test_nobody_logs_in_with_an_empty_file_at_the_usual_cost(
    tmp_path: Path, verified: list[PasswordHash]
) -> None:
    desk = Desk(tmp_path, "# nobody yet\n")
    assert await desk.result("alice") == "wrong_password"
    assert [str(hashed.cost) for hashed in verified] == ["argon2id m=65536,t=3,p=4"]
    desk.login.close()


async def test_a_check_that_could_not_be_made_is_no_wrong_password(tmp_path: Path) -> None:
    desk = Desk(tmp_path, f"alice:{cheap_scrypt(b'right')}\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashlib.scrypt", _no_memory)
        with pytest.raises(LoginUnavailable):
            await desk.login.prove(attempt("alice", "right"))
        with pytest.raises(LoginUnavailable):
            await desk.login.prove(attempt("nobody", "right"))
    desk.login.close()


def _no_memory(*_: object, **__: object) -> bytes:
    raise MemoryError


async def test_too_many_at_once_are_told_to_come_back(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text(f"alice:{cheap_scrypt(b'right', log_n=14)}\n")
    settings = UsersFileSettings(file=Path("users"), parallel=1, waiting=1)
    login = settings.build(offline_resources(tmp_path))
    attempts = [login.prove(attempt(name, "wrong")) for name in ("alice", "nobody", "alice", "nobody")]
    results = await asyncio.gather(*attempts, return_exceptions=True)
    assert [type(result) for result in results] == [WrongPassword, WrongPassword, LoginSaturated, LoginSaturated]
    login.close()


async def test_a_changed_file_counts_within_a_moment(desk: Desk) -> None:
    desk.write(BOB + f"carol:{cheap_bcrypt(b'right')}\n")
    assert await desk.result("carol") == "wrong_password"
    desk.now += LOOK_EVERY
    assert await desk.result("carol") == "carol"
    assert await desk.result("alice") == "wrong_password"
    assert desk.notices == [("users_file_read", {"file": "users", "users": 2})]
    desk.now += LOOK_EVERY
    assert await desk.result("carol") == "carol"
    assert len(desk.notices) == 1
    desk.login.close()


@pytest.mark.parametrize("content", ["alice:secret\n", None])
async def test_a_file_that_is_broken_changes_nothing_but_is_told_once(desk: Desk, content: str | None) -> None:
    if content is None:
        desk.file.unlink()
    else:
        desk.write(content)
    for _ in range(3):
        desk.now += LOOK_EVERY
        assert await desk.result("alice") == "u-1"
    [(event, fields)] = desk.notices
    assert event == "users_file_failed"
    assert "secret" not in str(fields)
    assert "users" in fields["error"]
    desk.write(BOB)
    desk.now += LOOK_EVERY
    assert await desk.result("alice") == "wrong_password"
    desk.login.close()


async def test_a_change_is_not_lost_with_the_client_that_came_first(desk: Desk) -> None:
    desk.write(BOB)
    desk.now += LOOK_EVERY
    first = asyncio.ensure_future(desk.result("alice"))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait({first})
    desk.now += LOOK_EVERY
    assert await desk.result("alice") == "wrong_password"
    desk.login.close()


def test_a_bad_file_is_refused_with_all_its_mistakes(tmp_path: Path) -> None:
    (tmp_path / "users").write_text(f"{ALICE}bob:$1$salt$hash\ncarol\n")
    settings = UsersFileSettings(file=Path("users"))
    with pytest.raises(BadSetting) as caught:
        settings.build(offline_resources(tmp_path))
    assert "users, line 2: the hash is not" in str(caught.value)
    assert "users, line 3: is not name:hash" in str(caught.value)
    assert "$1$" not in str(caught.value)
    assert caught.value.path == ("file",)


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    resources: Resources = offline_resources(tmp_path)
    with pytest.raises(BadSetting, match="cannot read users: No such file"):
        UsersFileSettings(file=Path("users")).build(replace(resources))
    (tmp_path / "users").write_text(ALICE)
    monkeypatch.setattr("gateway.mechanisms.logins.users_file.MAX_FILE", 10)
    with pytest.raises(BadSetting, match="larger than 10 bytes"):
        UsersFileSettings(file=Path("users")).build(resources)
