"""`gateway keys` makes, rotates, shows and prunes the keys of the gateway's own tokens."""

import json
import os
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.commands.keeping.files import create_file, replacing
from gateway.commands.keeping.key_set import KeyState, new_document, states, with_next_key, without_old_keys
from gateway.tokens.own_keys import BadKeyring, Keyring, read_keyring
from tests.minting import NOW, make_key
from tests.own_tokens import key_file, private_jwk, refresh_jwk

ALGORITHMS = ("EdDSA", "ES256", "RS256", "HS256")
DAY = 86400


@pytest.fixture
def file(tmp_path: Path) -> Path:
    create_file(tmp_path / "keys.json", new_document("EdDSA", int(time.time()) - 5))
    return tmp_path / "keys.json"


def keyring(file: Path) -> Keyring:
    return read_keyring(file.read_bytes())


def listed(capsys: pytest.CaptureFixture[str], file: Path) -> list[dict[str, Any]]:
    capsys.readouterr()
    assert main(["keys", "list", str(file), "--json"]) == 0
    keys: list[dict[str, Any]] = json.loads(capsys.readouterr().out)
    return keys


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["keys", *words]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


# --- create


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_file_holds_a_key_of_each_use_in_use_from_now_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], algorithm: str
) -> None:
    file = tmp_path / "keys.json"
    assert main(["keys", "create", str(file), "--algorithm", algorithm]) == 0
    ring = keyring(file)
    [access], [refresh] = ring.access, ring.refresh
    assert access.signer.algorithm == algorithm
    assert refresh.kid == 0
    assert len(refresh.secret) == 32
    assert abs(access.signs_from - time.time()) < 60
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    out = capsys.readouterr().out
    assert f"({algorithm}, kid {access.signer.kid})" in out
    for jwk in json.loads(file.read_text())["keys"]:
        assert not any(jwk[name] in out for name in ("d", "k") if name in jwk)


def test_keys_are_of_eddsa_unless_said_otherwise_and_each_is_another(tmp_path: Path) -> None:
    rings = []
    for name in ("a", "b"):
        assert main(["keys", "create", str(tmp_path / name)]) == 0
        rings.append(keyring(tmp_path / name))
    assert [ring.access[0].signer.algorithm for ring in rings] == ["EdDSA", "EdDSA"]
    assert rings[0].access[0].signer.kid != rings[1].access[0].signer.kid
    assert rings[0].refresh[0].secret != rings[1].refresh[0].secret


def test_the_name_of_a_secret_tells_nothing_of_it(tmp_path: Path) -> None:
    first = read_keyring(new_document("HS256", 0)).access[0]
    assert first.signer.kid != first.verifier.thumbprint
    assert len(first.signer.kid) == 16


def test_a_file_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "keys.json"
    file.write_text("mine")
    assert "exists and is not overwritten; add a key with gateway keys rotate" in refused(capsys, "create", str(file))
    assert file.read_text() == "mine"
    assert os.listdir(tmp_path) == ["keys.json"]


# --- rotate


def test_the_next_key_is_there_ahead_of_its_first_use(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """C150"""
    [before] = keyring(file).access
    assert main(["keys", "rotate", str(file)]) == 0
    out = capsys.readouterr().out
    ring = keyring(file)
    now = time.time()
    assert ring.signing_key(now).kid == before.signer.kid
    successor = ring.signing_key(now + 3600)
    assert successor.kid != before.signer.kid
    assert successor.algorithm == "EdDSA"
    assert [jwk["kid"] for jwk in ring.jwks()["keys"]] == [before.signer.kid, successor.kid]
    assert f"kid {successor.kid}; it is used from " in out
    assert "UTC, in 60 minutes on" in out or "UTC, in 59 minutes on" in out
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert os.listdir(file.parent) == ["keys.json"]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_the_algorithm_can_be_changed(file: Path, algorithm: str) -> None:
    assert main(["keys", "rotate", str(file), "--ahead", "1d", "--algorithm", algorithm]) == 0
    assert keyring(file).signing_key(time.time() + DAY + 5).algorithm == algorithm


def test_the_key_of_refresh_tokens_is_rotated_by_itself(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["keys", "rotate", str(file), "--refresh"]) == 0
    assert "the next key for refresh tokens has kid 1;" in capsys.readouterr().out
    ring = keyring(file)
    assert len(ring.access) == 1
    assert [ring.refresh_key(time.time() + after).kid for after in (0, 3601)] == [0, 1]


@pytest.mark.parametrize("ahead", ["0", "5m", "599s"])
def test_a_key_must_be_published_before_it_is_used(file: Path, capsys: pytest.CaptureFixture[str], ahead: str) -> None:
    """C150: for twice as long as others may keep the published keys."""
    before = file.read_bytes()
    assert "--ahead must be at least 10m" in refused(capsys, "rotate", str(file), "--ahead", ahead)
    assert file.read_bytes() == before
    assert main(["keys", "rotate", str(file), "--ahead", "10m"]) == 0


def test_in_an_emergency_a_key_is_used_at_once(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    [before] = keyring(file).access
    assert main(["keys", "rotate", str(file), "--now"]) == 0
    assert "it is used from now on" in capsys.readouterr().out
    assert keyring(file).signing_key(time.time()).kid != before.signer.kid


def test_what_else_the_file_says_stays(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    create_file(file, key_file(private_jwk(make_key("EdDSA", "a1"), 5, comment="ours"), refresh_jwk(0, 5)))
    assert main(["keys", "rotate", str(file)]) == 0
    assert json.loads(file.read_text())["keys"][0]["comment"] == "ours"


def test_numbers_of_refresh_keys_come_again_as_late_as_possible() -> None:
    access = private_jwk(make_key("EdDSA", "a1"))
    document = key_file(access, refresh_jwk(0, 5), refresh_jwk(254, 6), refresh_jwk(255, 7))
    assert with_next_key(document, "refresh", None, NOW, NOW)[1] == "1"
    document = key_file(access, refresh_jwk(3, 5), refresh_jwk(2, 6))
    assert with_next_key(document, "refresh", None, NOW, NOW)[1] == "4"


def test_there_are_as_many_keys_as_a_file_holds() -> None:
    members = [private_jwk(make_key("EdDSA", "a1")), *(refresh_jwk(number, 5) for number in range(99))]
    with pytest.raises(BadKeyring, match="holds more than 100 keys"):
        with_next_key(key_file(*members), "refresh", None, NOW, NOW)


# --- list


def test_each_key_is_shown_with_what_it_is_for() -> None:
    keys = [private_jwk(make_key("EdDSA", kid), at) for kid, at in (("a", NOW - 9), ("b", NOW - 5), ("c", NOW + 5))]
    assert states(key_file(*keys, refresh_jwk(7, NOW)), NOW) == [
        KeyState("a", "EdDSA", "sig", "previous", NOW - 9, NOW - 5),
        KeyState("b", "EdDSA", "sig", "current", NOW - 5, None),
        KeyState("c", "EdDSA", "sig", "next", NOW + 5, None),
        KeyState("7", "HS256", "refresh", "current", NOW, None),
    ]


def test_the_keys_are_listed_for_people_and_for_programs(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "rotate", str(file), "--now"])
    keys = listed(capsys, file)
    assert [(key["use"], key["state"]) for key in keys] == [
        ("sig", "previous"),
        ("sig", "current"),
        ("refresh", "current"),
    ]
    assert keys[0]["unused_since"] == keys[1]["signs_from"]
    assert main(["keys", "list", str(file)]) == 0
    [header, *rows] = capsys.readouterr().out.splitlines()
    assert header.split() == ["KID", "ALG", "USE", "STATE", "SIGNS", "FROM", "NOT", "USED", "SINCE"]
    assert [row.split()[0] for row in rows] == [key["kid"] for key in keys]
    assert rows[2].endswith(" -")
    for jwk in json.loads(file.read_text())["keys"]:
        assert not any(jwk[name] in "".join(rows) for name in ("d", "k") if name in jwk)


# --- prune


def test_only_keys_whose_successor_has_been_in_use_for_long_are_removed() -> None:
    ages = {"a": 90, "b": 40, "c": 30, "d": -1}
    access = [private_jwk(make_key("EdDSA", kid), NOW - days * DAY) for kid, days in ages.items()]
    refresh = [refresh_jwk(number, NOW - days * DAY) for number, days in ((0, 90), (1, 31), (2, -1))]
    document, old = without_old_keys(key_file(*access, *refresh), 31 * DAY, NOW)
    assert [key.kid for key in old] == ["a", "0"]
    assert [key.kid for key in states(document, NOW)] == ["b", "c", "d", "1", "2"]


def test_keys_in_use_and_to_come_are_never_removed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "rotate", str(file)])
    before = file.read_bytes()
    assert main(["keys", "prune", str(file), "--older-than", "0"]) == 0
    assert "there is nothing to remove" in capsys.readouterr().out
    assert file.read_bytes() == before


def test_what_was_removed_is_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["keys", "rotate", str(file), "--now"])
    main(["keys", "rotate", str(file), "--now", "--refresh"])
    [old, _, old_refresh, _] = listed(capsys, file)
    assert main(["keys", "prune", str(file), "--older-than", "0"]) == 0
    assert f"removed {old['kid']} (sig), {old_refresh['kid']} (refresh)" in capsys.readouterr().out
    assert [key["state"] for key in listed(capsys, file)] == ["current", "current"]


# --- mistakes


@pytest.mark.parametrize("use", [[], ["--refresh"]])
def test_a_key_is_replaced_only_when_it_is_old_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], use: list[str]
) -> None:
    """So it may be tried every day."""
    file = tmp_path / "keys.json"
    create_file(file, new_document("EdDSA", int(time.time()) - 30 * DAY - 5))
    young, old = (["keys", "rotate", str(file), *use, "--if-older-than", age] for age in ("31d", "30d"))
    before = file.read_bytes()
    assert main(young) == 0
    assert "is still young" in capsys.readouterr().out
    assert file.read_bytes() == before
    assert [main(old), main(old)] == [0, 0]
    first, second = capsys.readouterr().out.splitlines()
    assert "the next key" in first
    assert "is still young" in second  # although it does not sign yet
    assert len(listed(capsys, file)) == 3


@pytest.mark.parametrize("words", [["rotate"], ["list"], ["prune", "--older-than", "31d"]])
def test_a_file_that_cannot_be_used_is_told_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    file = tmp_path / "keys.json"
    assert refused(capsys, *words, str(file)) == f"{file}: No such file or directory\n"
    file.write_text("{}")
    assert refused(capsys, *words, str(file)) == f"{file}: the file is not a JWK set: there is no array `keys`\n"
    assert file.read_text() == "{}"


@pytest.mark.parametrize(
    "words",
    [
        ["create", "f", "--algorithm", "none"],
        ["rotate", "f", "--ahead", "soon"],
        ["rotate", "f", "--ahead", "1h", "--now"],
        ["rotate", "f", "--refresh", "--algorithm", "EdDSA"],
        ["prune", "f"],
        ["list"],
    ],
)
def test_wrong_usage_is_told(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as exited:
        main(["keys", *words])
    assert exited.value.code == 2


# --- writing


def test_writers_wait_for_each_other(file: Path) -> None:
    """Five processes at a time, and no key is lost."""
    command = [sys.executable, "-m", "gateway", "keys", "rotate", str(file)]
    writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(5)]
    assert [writer.wait() for writer in writers] == [0] * 5
    assert len(keyring(file).access) == 6


def test_a_writer_waits_until_the_other_is_done(file: Path) -> None:
    written: list[bytes] = []

    def write() -> None:
        with replacing(file) as mine:
            written.append(mine.content)

    with replacing(file) as theirs:
        thread = threading.Thread(target=write)
        thread.start()
        theirs.write(b"new")
        assert written == []
    thread.join()
    assert written == [b"new"]


def test_a_file_is_replaced_as_a_whole_or_stays(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    before = file.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    assert main(["keys", "rotate", str(file)]) == 1
    assert main(["keys", "create", str(file.with_name("new"))]) == 1
    assert file.read_bytes() == before
    assert os.listdir(file.parent) == ["keys.json"]


def test_a_reader_never_sees_half_a_file(file: Path) -> None:
    with file.open("rb") as reader:
        before = file.read_bytes()
        main(["keys", "rotate", str(file)])
        assert reader.read() == before
    assert file.read_bytes() != before


def test_a_link_stays_a_link(file: Path) -> None:
    link = file.with_name("link.json")
    link.symlink_to("keys.json")
    assert main(["keys", "rotate", str(link)]) == 0
    assert link.is_symlink()
    assert len(keyring(file).access) == 2


def test_the_file_keeps_its_owner(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the gateway can read what another user, root, has written."""
    given: list[tuple[int, int]] = []
    owner = file.stat()
    monkeypatch.setattr(os, "geteuid", lambda: owner.st_uid + 1)
    monkeypatch.setattr(os, "chown", lambda path, uid, gid: given.append((uid, gid)))
    assert main(["keys", "rotate", str(file)]) == 0
    assert given == [(owner.st_uid, owner.st_gid)]
