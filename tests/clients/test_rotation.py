"""Keys, certificates and secrets are replaced while clients go on, and none of them notices."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import aiohttp
import jwt
import pytest

from tests.clients.asking import Tokens, client, exchanged, kid_of, status_of
from tests.clients.processes import PATIENCE, Fleet, GatewayProcess, fleet, opened, sessions
from tests.minting import make_key

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "deploy/rotation/rotate-keys.sh"
CLIENTS = 6
DAY = 86400


class Crowd:
    """Clients that call, exchange and call again, at the gateways in turn. `kids` are those of their tokens."""

    def __init__(self, gateways: list[GatewayProcess]) -> None:
        self._gateways = gateways
        self.tokens: list[Tokens] = [opened(gateways[0].url, sub=f"user-{number}") for number in range(CLIENTS)]
        self._trips = [0] * CLIENTS
        self.kids: list[str] = []
        self.failures: list[str] = []

    @asynccontextmanager
    async def going_on(self) -> AsyncIterator["Crowd"]:
        async with client(keeps_connections=True) as http, asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._go_on(http, number)) for number in range(CLIENTS)]
            try:
                yield self
            finally:
                for task in tasks:
                    task.cancel()

    async def another_round(self) -> None:
        """Wait until everybody has been at each gateway a few times."""
        before = self._trips.copy()
        async with asyncio.timeout(PATIENCE):
            while min(now - then for now, then in zip(self._trips, before, strict=True)) < 4:
                assert self.failures == []
                await asyncio.sleep(0.02)

    async def _go_on(self, http: aiohttp.ClientSession, number: int) -> None:
        turn = number
        while True:
            gateway = self._gateways[turn % len(self._gateways)]
            tokens = self.tokens[number]
            if (status := await status_of(http, gateway, tokens)) != 200:
                self.failures.append(f"a call was answered with {status}")
            self.tokens[number] = await exchanged(http, gateway, tokens["refresh_token"])
            if (status := await status_of(http, gateway, tokens)) != 200:
                self.failures.append(f"a call with the token before was answered with {status}")
            self.kids.append(kid_of(self.tokens[number]))
            self._trips[number] += 1
            turn += 1
            await asyncio.sleep(0.02)


def rotate(directory: Path, **environment: str) -> str:
    """Run the script as cron does, with the gateway of this checkout."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "gateway").write_text(f'#!/bin/sh\nexec {sys.executable} -m gateway "$@"\n')
    (programs / "gateway").chmod(0o755)
    inherited = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [str(SCRIPT), str(directory / "keys.json")],
        env={**inherited, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def made_older(file: Path, seconds: int) -> None:
    keys = json.loads(file.read_bytes())["keys"]
    file.write_text(json.dumps({"keys": [{**key, "signs_from": key["signs_from"] - seconds} for key in keys]}))


def replaced(file: Path, content: bytes) -> None:
    new = file.with_name(f".{file.name}.new")
    new.write_bytes(content)
    shutil.copymode(file, new)
    new.replace(file)


@pytest.fixture
def ships(tmp_path: Path, house: Path, echo: str) -> Any:
    hashes = tmp_path / "hashes"
    hashes.write_text(hash_of("x" * 40))
    secret = {"type": "confidential", "secret_file": str(hashes), "may": {"introspect": True}}
    settings = sessions("https://gw.example")
    changes = {"sessions": {**settings, "clients": {**settings["clients"], "job": secret}}}
    with fleet(tmp_path / "fleet", house, {"url": "sqlite:state.db", "timeout": 5}, echo, changes=changes) as ships:
        yield ships


async def test_keys_are_rotated_by_the_script_and_nobody_notices(ships: Fleet) -> None:
    file = ships.directory / "keys.json"
    made_older(file, 100 * DAY)
    gateways = list(await asyncio.to_thread(ships.pair))
    async with Crowd(gateways).going_on() as crowd:
        await crowd.another_round()
        [old] = set(crowd.kids)
        said = await asyncio.to_thread(rotate, ships.directory)
        assert said.count("the next key for") == 2
        assert "nothing to remove" in said
        assert (await asyncio.to_thread(rotate, ships.directory)).count("is still young") == 2
        await crowd.another_round()
        assert set(crowd.kids) == {old}  # an hour to go

        for gateway in gateways:
            await asyncio.to_thread(gateway.wait_until, partial(has_read, gateway, 2), "aware of the next keys")

        # The same, with the hour nearly over.
        before = [len(gateway.events("keys_reloaded")) for gateway in gateways]
        soon = int(time.time()) + 4
        keys = json.loads(file.read_bytes())["keys"]
        near = [{**key, "signs_from": min(key["signs_from"], soon)} for key in keys]
        replaced(file, json.dumps({"keys": near}).encode())
        for gateway, number in zip(gateways, before, strict=True):
            await asyncio.to_thread(gateway.wait_until, partial(has_read_on, gateway, number), "aware of the hour")
        async with asyncio.timeout(PATIENCE):
            while old in crowd.kids or not crowd.kids:
                crowd.kids.clear()
                await crowd.another_round()
        said = await asyncio.to_thread(rotate, ships.directory, KEEP="0s")
        assert "removed" in said
        for gateway in gateways:
            await asyncio.to_thread(gateway.wait_until, partial(has_read, gateway, 1), "without old keys")
        await crowd.another_round()
        [new] = set(crowd.kids)
        assert new != old
        assert crowd.failures == []


def has_read(gateway: GatewayProcess, number: int) -> bool:
    """Say whether it has read a file with so many keys of each kind."""
    return any(len(event["kids"]) == len(event["refresh_kids"]) == number for event in gateway.events("keys_reloaded"))


def has_read_on(gateway: GatewayProcess, times: int) -> bool:
    return len(gateway.events("keys_reloaded")) > times


def hash_of(secret: str) -> str:
    return f"sha256:{sha256(secret.encode()).hexdigest()}\n"


async def test_a_clients_secret_is_replaced_with_both_good_for_a_while(ships: Fleet, tmp_path: Path) -> None:
    gateway = await asyncio.to_thread(ships.start)
    token = (await asyncio.to_thread(opened, gateway.url))["access_token"]
    old, new = "x" * 40, "y" * 40

    async def status(http: aiohttp.ClientSession, secret: str) -> int:
        credentials = "Basic " + b64encode(f"job:{quote_plus(secret)}".encode()).decode()
        headers = {"Authorization": credentials}
        async with http.post(f"{gateway.url}/oauth/introspect", data={"token": token}, headers=headers) as response:
            return response.status

    async def until(http: aiohttp.ClientSession, *wanted: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while (await status(http, old), await status(http, new)) != wanted:
                await asyncio.sleep(0.1)

    async with client() as http:
        await until(http, 200, 401)
        replaced(tmp_path / "hashes", (hash_of(old) + hash_of(new)).encode())
        await until(http, 200, 200)
        replaced(tmp_path / "hashes", hash_of(new).encode())
        await until(http, 401, 200)


class CarefulUpstream:
    """What verifies identity tokens with a key set that it reads now and then, not when it meets an unknown key."""

    def __init__(self, gateway: GatewayProcess) -> None:
        self._gateway = gateway
        self._keys: dict[str, jwt.PyJWK] = {}
        self.kids: set[str] = set()

    def check(self, token: str) -> None:
        kid = jwt.get_unverified_header(token)["kid"]
        jwt.decode(token, self._keys[kid], algorithms=["EdDSA"], audience="app")
        self.kids.add(kid)

    async def read_keys(self, http: aiohttp.ClientSession) -> None:
        self._keys = await self._published(http)
        self.kids.clear()

    async def _published(self, http: aiohttp.ClientSession) -> dict[str, jwt.PyJWK]:
        async with http.get(f"{self._gateway.url}/.well-known/gateway-identity-jwks.json") as response:
            return {jwk["kid"]: jwt.PyJWK(jwk) for jwk in (await response.json())["keys"]}


async def test_the_key_of_identity_tokens_is_replaced_and_upstreams_can_verify_each(ships: Fleet) -> None:
    for name in ("old.pem", "new.pem"):
        (ships.directory / name).write_bytes(make_key("EdDSA", name).private_pem())
        (ships.directory / name).chmod(0o600)

    def identity(key: str, *others: str) -> dict[str, Any]:
        return {"issuer": "https://gw.example", "key_file": key, "other_keys": others}

    inject = [{"identity_token": "X-Identity", "audience": "app", "lifetime": 10}]
    gateway = await asyncio.to_thread(ships.start, identity=identity("old.pem"), inject=inject)
    file = gateway.log.with_suffix(".yaml")
    tokens = await asyncio.to_thread(opened, gateway.url)
    upstream = CarefulUpstream(gateway)
    reloads = 0

    async def call(http: aiohttp.ClientSession) -> None:
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        async with http.get(f"{gateway.url}/api/x", headers=headers) as response:
            assert response.status == 200
            upstream.check((await response.json())["x-identity"])

    async def change(http: aiohttp.ClientSession, section: dict[str, Any]) -> None:
        nonlocal reloads
        reloads += 1
        replaced(file, json.dumps({**json.loads(file.read_bytes()), "identity": section}).encode())
        async with asyncio.timeout(PATIENCE):
            while len(gateway.events("config_reloaded")) < reloads:
                await call(http)

    async with client(keeps_connections=True) as http:
        await upstream.read_keys(http)
        await call(http)
        [old] = upstream.kids
        await change(http, identity("old.pem", "new.pem"))
        await upstream.read_keys(http)  # the longest that it keeps a key set is over
        await change(http, identity("new.pem", "old.pem"))
        async with asyncio.timeout(PATIENCE):
            while upstream.kids <= {old}:
                await call(http)
        await upstream.read_keys(http)
        await change(http, identity("new.pem"))
        for _ in range(5):
            await call(http)
        assert old not in upstream.kids
