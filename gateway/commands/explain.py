"""`gateway explain`: why is this request allowed, or refused?"""

import argparse
import asyncio
import codecs
import os
import re
import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.config.schema import Config
from gateway.insight.explaining.steps import StepResult
from gateway.insight.explaining.text import FANCY_MARKS, PLAIN_MARKS, as_json, as_text
from gateway.insight.explaining.way import Explanation, explain
from gateway.mechanisms.base import FetchFailed, Resources
from gateway.model.decision import Deny
from gateway.model.request import Header, InboundRequest, Peer

_URL = re.compile(r"(https?)://([^/?#]*)([^#]*)(?:#.*)?", re.IGNORECASE | re.DOTALL)
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_LOOKS_LIKE_JWT = re.compile(r"eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SHORTEST_SECRET = 8
"""Characters. Anything shorter is no secret, and may be a part of an ordinary word."""


@dataclass(frozen=True, slots=True)
class Question:
    """The request to explain, at a time in Unix seconds. `offline`: nothing may be fetched."""

    method: str
    target: bytes
    headers: list[Header]
    peer: str
    secure: bool
    at: float
    offline: bool = False


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser(
        "explain",
        help="say step by step why a request is allowed or refused",
        description="Say step by step why a request is allowed (exit status 0) or refused (1). "
        "The token is never printed. Limits on the size of requests are not looked at.",
    )
    parser.add_argument("--config", type=Path, required=True, metavar="FILE", help="the configuration file")
    parser.add_argument("--url", type=_url, required=True, help="what is requested: https://host/path")
    parser.add_argument("--method", type=str.upper, default="GET", help="GET if left out")
    parser.add_argument("--token", help="sent as Authorization: Bearer; - reads it from standard input")
    parser.add_argument(
        "--header", type=_header, action="append", default=[], metavar="'NAME: VALUE'", help="may be repeated"
    )
    parser.add_argument("--peer", type=_peer, default="127.0.0.1", metavar="IP", help="who connects; or unix")
    parser.add_argument("--at", type=float, metavar="UNIX_SECONDS", help="the time to decide at; now if left out")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--offline", action="store_true", help="fetch no keys")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0 for a request that is allowed, 1 for one that is refused, 2 for a configuration with mistakes."""
    asked = _question(arguments)
    try:
        loaded = load_config(arguments.config, os.environ)
        explanation = asyncio.run(answered(loaded.config, arguments.config.absolute().parent, asked))
    except ConfigMistakes as mistakes:
        print(mistakes, file=sys.stderr)
        return 2
    except CompileMistakes as error:
        print(loaded.mistakes(error), file=sys.stderr)
        return 2
    text = as_json(explanation) if arguments.json else as_text(explanation, _marks())
    print(_encodable(_without(_secrets(asked), text)))
    return 1 if isinstance(explanation.verdict, Deny) else 0


async def answered(config: Config, directory: Path, asked: Question) -> Explanation:
    """Return the explanation. Keys are fetched if need be. Raises CompileMistakes."""
    notices: list[tuple[str, dict[str, Any]]] = []
    control = config.fetch.client(directory)
    fetch = _no_fetch if asked.offline else control.fetch
    resources = Resources(directory, fetch, lambda: asked.at, lambda event, fields: notices.append((event, fields)))
    try:
        snapshot = compile_config(config, resources)
        request = InboundRequest(
            asked.method, asked.target, asked.headers, snapshot.forwarding.peer(asked.peer), secure=asked.secure
        )
        verdict = await snapshot.gatekeeper.settle(request, snapshot.gatekeeper.decide(request))
        return explain(snapshot, request, verdict, asked.at, notices)
    finally:
        await control.close()


async def _no_fetch(url: str, max_bytes: int) -> bytes:
    raise FetchFailed("not fetched, because of --offline")


def _question(arguments: argparse.Namespace) -> Question:
    scheme, authority, target = arguments.url
    headers: list[Header] = list(arguments.header)
    if not any(name.lower() == b"host" for name, _ in headers):
        headers.insert(0, (b"Host", _bytes(authority)))
    if arguments.token is not None:
        headers.append((b"Authorization", b"Bearer " + _bytes(_argument_or_input(arguments.token).strip())))
    at = int(time.time()) if arguments.at is None else arguments.at
    return Question(arguments.method, _bytes(target), headers, arguments.peer, scheme == "https", at, arguments.offline)


def _argument_or_input(text: str) -> str:
    return sys.stdin.read() if text == "-" else text


def _bytes(text: str) -> bytes:
    """Return an argument as the bytes that it was given as."""
    return text.encode("utf-8", "surrogateescape")


# argparse repeats a bad value in its message, unless the error is an ArgumentTypeError. A header may hold a token.


def _url(text: str) -> tuple[str, str, str]:
    """Return scheme, authority and request-target, as they are: nothing is normalised. A fragment is never sent."""
    if not (match := _URL.fullmatch(text)):
        raise argparse.ArgumentTypeError("must begin with https:// or http://")
    target = match[3]
    return match[1].lower(), match[2], target if target.startswith("/") else f"/{target}"


def _header(text: str) -> Header:
    if not (match := _HEADER.fullmatch(text)):
        raise argparse.ArgumentTypeError("must be 'Name: value', on one line")
    name, value = match[1].encode(), _bytes(match[2].rstrip(" \t"))
    if name.lower() == b"content-length" and not re.fullmatch(rb"[0-9]{1,18}", value):
        raise argparse.ArgumentTypeError("Content-Length must be a number")
    if name.lower() == b"transfer-encoding" and value.lower() != b"chunked":
        raise argparse.ArgumentTypeError("Transfer-Encoding can only be chunked")
    return name, value


def _peer(text: str) -> str:
    try:
        return text if text == "unix" else str(ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError("must be an IP address, or unix") from error


def _marks() -> Mapping[StepResult, str]:
    return FANCY_MARKS if sys.stdout.isatty() and _encoding() == "utf-8" else PLAIN_MARKS


def _encoding() -> str:
    return codecs.lookup(sys.stdout.encoding or "ascii").name


def _encodable(text: str) -> str:
    """Return text that can be printed: what the terminal has no letter for is escaped."""
    return text.encode(_encoding(), "backslashreplace").decode(_encoding())


def _secrets(asked: Question) -> Iterable[str]:
    """Return what must never be printed, the longest first."""
    request = InboundRequest(asked.method, asked.target, asked.headers, Peer("unix"))
    values = [value.partition(b" ")[2] for value in request.all(b"authorization")]
    values += [value for _, value in request.cookies]
    return sorted((v.decode("utf-8", "replace") for v in values if len(v) >= _SHORTEST_SECRET), key=len, reverse=True)


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "<hidden>")
    return _LOOKS_LIKE_JWT.sub("<hidden>", text)
