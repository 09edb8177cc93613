"""`gateway sessions`: what is ended there is over in a gateway that runs, which does it itself or hears of it."""

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.cli import main
from gateway.engine.sessions import Opening
from tests.minting import jwks
from tests.session_gateway import SECTIONS, SessionGateway, session_gateway, write_files
from tests.trips.running import KEY, config

Capture = pytest.CaptureFixture[str]


def write_config(directory: Path, **sections: Any) -> Path:
    file = directory / "config.yaml"
    file.write_text(json.dumps(config(json.dumps({**SECTIONS, **sections}))))
    (directory / "keys.json").write_bytes(jwks(KEY))
    return file


async def gateway(*words: object) -> tuple[int, str, str]:
    """Run the command in a process of its own."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway", "sessions", *map(str, words)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


async def is_refused(served: SessionGateway, access_token: str) -> None:
    async with asyncio.timeout(5):
        while await served.call(access_token) != 401:
            await asyncio.sleep(0.02)


async def test_sessions_of_a_running_gateway_are_listed_and_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.trips.running.NOW", time.time())  # the command has the real time
    file = write_config(tmp_path)
    async with session_gateway(tmp_path) as served:
        phone, laptop, tablet = [await served.log_in(device=name) for name in ("phone", "laptop", "tablet")]
        code, out, err = await gateway("list", "--config", file, "--subject", "alice")
        assert (code, err) == (0, "")
        assert [word in out for word in ("SESSION", "phone", "laptop", "127.0.0.0/24")] == [True] * 4
        code, out, _ = await gateway("list", "--config", file, "--subject", "alice", "--device", "phone", "--json")
        assert [each["id"] for each in json.loads(out)] == [await served.sid_of(phone)]

        code, out, err = await gateway("end", "--config", file, "--subject", "alice", "--device", "phone", "--json")
        assert (code, json.loads(out)) == (0, {"ended": 1})
        told = json.loads(err)
        assert (told["event"], told["subject"], told["device"], told["ended"]) == ("admin_change", "alice", "phone", 1)
        assert told["actor"].startswith("command line:")
        await is_refused(served, phone["access_token"])
        assert await served.call(laptop["access_token"]) == 200

        assert (await gateway("end", "--config", file, "--session", await served.sid_of(laptop)))[:2] == (
            0,
            "1 ended\n",
        )
        await is_refused(served, laptop["access_token"])
        assert (await gateway("end", "--config", file, "--subject", "alice"))[:2] == (0, "1 ended\n")
        await is_refused(served, tablet["access_token"])
        assert (await gateway("list", "--config", file, "--subject", "alice"))[:2] == (0, "no sessions\n")
        assert (await gateway("end", "--config", file, "--session", "no-such-session"))[:2] == (1, "0 ended\n")


def test_what_is_ended_is_in_the_audit_log(tmp_path: Path, capsys: Capture) -> None:
    write_files(tmp_path)
    file = write_config(tmp_path, log={"audit": "audit.log"})
    assert main(["sessions", "end", "--config", str(file), "--subject", "alice"]) == 1
    line = json.loads((tmp_path / "audit.log").read_text())
    assert (line["event"], line["subject"], line["ended"]) == ("admin_change", "alice", 0)
    assert line["actor"].startswith("command line:")
    file = write_config(tmp_path, log={"audit": "nowhere/audit.log"})
    assert main(["sessions", "end", "--config", str(file), "--subject", "alice"]) == 1
    err = capsys.readouterr().err
    assert "not in the audit log: cannot write to nowhere/audit.log: No such file or directory" in err


@pytest.mark.parametrize(
    "words",
    [
        ["list"],
        ["end"],
        ["end", "--subject", "a", "--session", "b"],
        ["list", "--session", "b"],
    ],
)
def test_whose_sessions_must_be_said_once(words: list[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["sessions", *words])
    assert left.value.code == 2


def test_a_device_is_one_of_a_subject(capsys: Capture) -> None:
    assert main(["sessions", "end", "--session", "x", "--device", "phone"]) == 2
    assert "--device goes with --subject" in capsys.readouterr().err


def test_a_store_that_cannot_be_used_is_told(tmp_path: Path, capsys: Capture) -> None:
    write_files(tmp_path)
    (tmp_path / "state").write_text("where a directory should be")
    file = write_config(tmp_path, state={"url": "sqlite:state/gateway.db"})
    assert main(["sessions", "end", "--config", str(file), "--subject", "alice"]) == 1
    assert "the store did not answer, so nothing is certain" in capsys.readouterr().err
    file = write_config(tmp_path, state={"url": "sqlite::memory:"})
    assert main(["sessions", "list", "--config", str(file), "--subject", "alice"]) == 1
    assert "name a file" in capsys.readouterr().err


def test_mistakes_are_told_with_their_lines(tmp_path: Path, capsys: Capture) -> None:
    write_files(tmp_path)
    (tmp_path / "own.json").unlink()
    file = write_config(tmp_path)
    assert main(["sessions", "list", "--config", str(file), "--subject", "alice"]) == 1
    assert f"{file}:1: sessions.key_file: own.json cannot be read" in capsys.readouterr().err


def test_without_sessions_there_are_none(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "keys.json").write_bytes(jwks(KEY))
    file = tmp_path / "config.yaml"
    file.write_text(json.dumps(config()))
    assert main(["sessions", "list", "--config", str(file), "--subject", "alice"]) == 1
    assert "has no sessions" in capsys.readouterr().err


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    from gateway.commands import sessions

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 12345")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert sessions._user().isdecimal()


# --- through the admin API


async def test_a_gateway_lists_and_ends_sessions(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        phone, laptop = [await served.log_in(device=name) for name in ("phone", "laptop/\x1b[2J")]
        there = ("--admin", served.admin_url, "--token-file", tmp_path / "admin-token")
        code, out, err = await gateway("list", "--subject", "alice", *there)
        assert (code, err) == (0, "")
        assert [word in out for word in ("SESSION", "phone", "127.0.0.0/24")] == [True] * 3
        assert "\x1b" not in out
        code, out, _ = await gateway("list", "--subject", "alice", "--device", "phone", "--json", *there)
        assert [each["id"] for each in json.loads(out)] == [await served.sid_of(phone)]

        sid = await served.sid_of(laptop)
        assert (await gateway("end", "--session", sid, *there))[:2] == (0, "1 ended\n")
        assert await served.call(laptop["access_token"]) == 401
        assert (await gateway("end", "--session", sid, *there))[:2] == (1, "0 ended\n")
        assert (await gateway("end", "--subject", "alice", "--json", *there))[:2] == (0, '{"ended": 1}\n')
        assert await served.call(phone["access_token"]) == 401
        assert (await gateway("list", "--subject", "alice", *there))[:2] == (0, "no sessions\n")
        assert {each["actor"] for each in served.events("admin_change")} == {"admin token"}


async def test_any_subject_can_be_named(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        service = served.gateway.snapshot.sessions
        assert service is not None
        there = ("--admin", served.admin_url, "--token-file", tmp_path / "admin-token")
        for subject in ("a/b", "..", "müller?#%2F"):
            await service.open(Opening(subject, "web"))
            assert (await gateway("end", "--subject", subject, *there))[:2] == (0, "1 ended\n")


async def test_whoever_may_only_look_ends_nothing_and_is_told(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as served:
        tokens = await served.log_in()
        code, out, err = await gateway("end", "--subject", "alice", "--admin", served.admin_url)
        assert (code, out) == (1, "")
        assert "it wants a token (--token-file FILE)" in err
        assert await served.call(tokens["access_token"]) == 200


@pytest.mark.parametrize("option", ["--token-file", "--cert", "--key", "--ca"])
def test_how_to_ask_a_gateway_goes_with_where_it_is(option: str, capsys: Capture) -> None:
    assert main(["sessions", "list", "--subject", "alice", option, "x"]) == 2
    assert "go with --admin" in capsys.readouterr().err
