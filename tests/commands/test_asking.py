"""Commands find the gateway that they are to ask, and say what to do when it does not answer."""

import argparse
import asyncio
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.commands.asking.client import AdminClient, NoAnswer, NotLetIn, NotThere
from gateway.commands.asking.door import Door, NoDoor, place_named
from gateway.commands.asking.options import TOKEN_FILE, add_door_options, door_of
from gateway.commands.asking.sessions import segment
from tests.admin.operating import READ_TOKEN, TOKENS, WRITE_TOKEN, key_pair, operated
from tests.ports import free_port
from tests.trips.certificates import make_authority

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_FILE, raising=False)


def door(*words: object) -> Door:
    parser = argparse.ArgumentParser()
    add_door_options(parser)
    return door_of(parser.parse_args(list(map(str, words))))


def written(directory: Path, admin: str) -> Path:
    (directory / "write").write_text(f"{WRITE_TOKEN}\nanother\n")
    (directory / "read").write_text(READ_TOKEN)
    file = directory / "config.yaml"
    file.write_text(f"admin: {admin}\nroutes: what has mistakes changes nothing\n")
    return file


# --- where to ask


@pytest.mark.parametrize(
    ("admin", "url"),
    [
        ("{token_file: write}", "http://127.0.0.1:9091"),
        ('{token_file: write, address: "127.0.0.1:7000"}', "http://127.0.0.1:7000"),
        ('{token_file: write, address: ":7000"}', "http://127.0.0.1:7000"),
        ('{token_file: write, address: "[::]:7000"}', "http://[::1]:7000"),
        ('{token_file: write, address: "unix:/run/admin.sock"}', "http://localhost"),
        ("{token_file: write, tls: {certificate: x, key: y}}", "https://127.0.0.1:9091"),
        ('{token_file: write, address: "${PLACE:-127.0.0.1:7001}"}', "http://127.0.0.1:7001"),
    ],
)
def test_the_configuration_says_where(tmp_path: Path, admin: str, url: str) -> None:
    found = door("--config", written(tmp_path, admin))
    assert found.url == url
    assert found.token == WRITE_TOKEN


def test_a_url_says_where_and_the_configuration_is_not_looked_at(tmp_path: Path) -> None:
    (tmp_path / "t").write_text("some-token\n")
    found = door("--admin", "https://ops.example:9443/", "--token-file", tmp_path / "t", "--config", tmp_path / "none")
    assert (found.url, found.token) == ("https://ops.example:9443", "some-token")
    assert found.tls is not None
    assert found.tls.check_hostname
    assert door("--admin", "unix:/run/x.sock").place.address.path == "/run/x.sock"
    assert door("--admin", "http://127.0.0.1:9091/admin/").url == "http://127.0.0.1:9091"


def test_whoever_may_not_read_the_one_token_shows_the_other(tmp_path: Path) -> None:
    assert door("--config", written(tmp_path, "{token_file: missing, read: {token_file: read}}")).token == READ_TOKEN
    assert door("--config", written(tmp_path, "{read: {token_file: read}}")).token == READ_TOKEN
    with pytest.raises(NoDoor, match=r"missing: cannot be read: No such file.*\n.*--token-file FILE"):
        door("--config", written(tmp_path, "{token_file: missing}"))


def test_a_token_that_is_named_comes_before_that_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written(tmp_path, "{token_file: missing}")
    monkeypatch.setenv(TOKEN_FILE, str(tmp_path / "read"))
    assert door("--config", file).token == READ_TOKEN
    assert door("--config", file, "--token-file", tmp_path / "write").token == WRITE_TOKEN


def test_a_token_that_others_could_read_on_the_way_is_told(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "t").write_text("some-token")
    door("--admin", "http://10.0.0.7:9091", "--token-file", tmp_path / "t")
    assert capsys.readouterr().err.startswith("the token goes to http://10.0.0.7:9091 without TLS")
    door("--admin", "http://127.0.0.1:9091", "--token-file", tmp_path / "t")
    door("--admin", "http://10.0.0.7:9091")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--config", "nowhere.yaml"], r"nowhere.yaml: cannot be read: No such file.*\n.*--admin URL"),
        (["--config", "off.yaml"], "off.yaml has no section admin: the admin API is off"),
        (["--admin", "ftp://x"], '--admin: "ftp://x" is not a target'),
        (["--admin", "http://x", "--token-file", "nowhere"], "nowhere: cannot be read"),
        (["--admin", "http://x", "--token-file", "empty"], "empty: holds no token"),
        (["--admin", "http://x", "--token-file", "strange"], "strange: holds no token"),
        (["--admin", "https://x", "--ca", "nowhere"], "^nowhere: cannot be used: No such file"),
        (["--admin", "https://x", "--cert", "empty", "--key", "off.yaml"], "^empty, off.yaml: cannot be used"),
        (["--admin", "https://x", "--key", "empty"], "--key goes with --cert"),
    ],
)
def test_what_cannot_be_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str) -> None:
    monkeypatch.chdir(tmp_path)
    Path("off.yaml").write_text("listen: []\n")
    Path("empty").write_text("\n")
    Path("strange").write_text("tökén")
    with pytest.raises(NoDoor, match=says):
        door(*words)


def test_the_token_is_in_no_representation(tmp_path: Path) -> None:
    assert WRITE_TOKEN not in repr(door("--config", written(tmp_path, "{token_file: write}")))


# --- what it answers


async def asked(found: Door, path: str = "/me", method: str = "GET") -> object:
    async with AdminClient(found) as client:
        return await client.ask(path, method)


def at(port: int, token: str | None = None) -> Door:
    return Door(place_named(f"http://127.0.0.1:{port}"), token)


async def test_an_answer_is_what_the_gateway_says(tmp_path: Path) -> None:
    async with operated(tmp_path) as gateway:
        answer = await asked(at(gateway.port, READ_TOKEN))
        assert isinstance(answer, dict)
        assert answer["role"] == "read"


async def test_a_refusal_says_what_to_do(tmp_path: Path) -> None:
    async with operated(tmp_path) as gateway:
        with pytest.raises(NotLetIn, match=r"401 .*\nit wants a token \(--token-file FILE\) or a client certificate"):
            await asked(at(gateway.port))
        with pytest.raises(NotLetIn, match=r"401 .*\nthe token is not one of this gateway's admin tokens"):
            await asked(at(gateway.port, "another-token-of-at-least-32-characters"))
        with pytest.raises(NotLetIn, match=r"403 .*\n.*changes need the role write"):
            await asked(at(gateway.port, READ_TOKEN), "/reload", "POST")
        with pytest.raises(NotLetIn) as trouble:
            await asked(at(gateway.port, READ_TOKEN + "x"))
        assert READ_TOKEN not in str(trouble.value)
        with pytest.raises(NotThere):
            await asked(at(gateway.port, READ_TOKEN), "/decisions/unknown")


async def test_too_many_questions_are_put_off_as_long_as_the_gateway_says(tmp_path: Path) -> None:
    limit = {"requests": 1, "per": "1h"}
    async with operated(tmp_path, {**TOKENS, "rate_limit": limit}) as gateway:
        await asked(at(gateway.port, READ_TOKEN))
        with pytest.raises(NoAnswer, match="429") as trouble:
            await asked(at(gateway.port, READ_TOKEN))
        assert trouble.value.retry_after == 60  # no longer, whatever it says


async def test_nobody_there_is_told() -> None:
    with pytest.raises(NoAnswer, match="Connection refused; is the gateway running, and is this its admin address"):
        await asked(at(free_port()))
    with pytest.raises(NoAnswer, match="No such file or directory"):
        await asked(Door(place_named("unix:/nowhere/admin.sock")))


@pytest.mark.parametrize(
    ("answer", "kind", "says"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n<html>", NotLetIn, "is not the admin API of a gateway"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 2\r\n\r\n{}", NotThere, "404"),
        (b"HTTP/1.1 302 No\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 2\r\n\r\n{}", NotLetIn, "302"),
        (b"HTTP/1.1 502 No\r\nContent-Length: 2\r\n\r\nno", NoAnswer, "cannot answer now: 502"),
        (b'HTTP/1.1 403 No\r\nContent-Length: 20\r\n\r\n{"error": "\\u001b["}', NotLetIn, r"403 \\x1b\["),
        (b"HTTP/1.1 403 No\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", NotLetIn, "403"),
        (b"SSH-2.0-x\r\n", NoAnswer, "it does not speak HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n{", NoAnswer, "no answer from"),
    ],
)
async def test_what_is_no_gateway_is_told(answer: bytes, kind: type[Exception], says: str) -> None:
    async with stranger(answer) as port:
        with pytest.raises(kind, match=says):
            await asked(at(port))


@asynccontextmanager
async def stranger(answer: bytes) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_a_certificate_that_nobody_vouches_for_is_told(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    certificate, key = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(key)}
    async with operated(tmp_path, {**TOKENS, "tls": tls}) as gateway:
        place = place_named(f"https://localhost:{gateway.port}")
        with pytest.raises(NoAnswer, match=r"its certificate is not accepted \(.*\); --ca FILE says who vouches"):
            await asked(Door(place, READ_TOKEN, ssl.create_default_context()))
        await asked(Door(place, READ_TOKEN, authority.client()))


async def test_a_client_certificate_opens_without_a_token(tmp_path: Path) -> None:
    authority = make_authority(tmp_path)
    own, own_key = key_pair(tmp_path, authority, "alice", ())
    certificate, key = authority.issue("localhost")
    tls = {"certificate": str(certificate), "key": str(key), "client_ca": str(authority.file)}
    async with operated(tmp_path, {"certificates": ["CN:alice"], "tls": tls}) as gateway:
        gateway.gateway.clock.now = time.time()  # certificates are good by the real one
        words = ("--admin", f"https://localhost:{gateway.port}", "--ca", authority.file)
        answer = await asked(door(*words, "--cert", own, "--key", own_key))
        assert isinstance(answer, dict)
        assert answer["actor"] == "certificate CN:alice"
        with pytest.raises(NoAnswer):
            await asked(door(*words))


@pytest.mark.parametrize(
    ("text", "encoded"), [("alice", "alice"), ("a/b?c#d", "a%2Fb%3Fc%23d"), ("..", "%2E%2E"), ("김", "%EA%B9%80")]
)
def test_any_name_can_be_a_segment(text: str, encoded: str) -> None:
    assert segment(text) == encoded
