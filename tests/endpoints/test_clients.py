import asyncio
import re
from base64 import b64encode
from pathlib import Path

import bcrypt
import pytest
from aiohttp.test_utils import make_mocked_request
from argon2.low_level import Type, hash_secret
from multidict import CIMultiDict

from gateway.config.session_clients import ClientSettings
from gateway.endpoints.clients import Client, Clients
from gateway.endpoints.forms import Parameters
from gateway.endpoints.secret_checks import SecretChecks
from gateway.mechanisms.base import BadSetting
from gateway.mechanisms.logins.hashes import PasswordHash
from gateway.model.errors import InvalidClient, LoginSaturated, MalformedGrantRequest
from tests.endpoints.running import OTHER_SECRET, SECRET, basic, hashed

ODD = "a secret: with+every%kind/of é character"

CLIENTS = {
    "web": ClientSettings(type="public"),
    "svc": ClientSettings(type="confidential", secret_hashes=(hashed(SECRET), hashed(OTHER_SECRET))),
    "odd": ClientSettings(type="confidential", secret_hashes=(hashed(ODD),)),
    "slow": ClientSettings(
        type="confidential", secret_hashes=(bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(4)).decode(),)
    ),
}


def unread(file: Path) -> bytes:
    raise BadSetting(f"cannot read {file}")


async def identified(authorization: str | None = None, **parameters: str) -> Client | None:
    clients = Clients(CLIENTS, unread)
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        return await clients.identify(make_mocked_request("POST", "/", headers), Parameters(parameters))
    finally:
        clients.close()


def name(client: Client | None) -> str | None:
    return None if client is None else client.id


async def test_a_public_client_says_who_it_is() -> None:
    assert name(await identified(client_id="web")) == "web"
    assert name(await identified()) is None
    assert name(await identified("Bearer x")) is None
    assert name(await identified(basic("web", "")["Authorization"])) == "web", "an empty secret is none"


@pytest.mark.parametrize("secret", [SECRET, OTHER_SECRET])
async def test_a_confidential_client_proves_it_with_any_of_its_secrets(secret: str) -> None:
    assert name(await identified(client_id="svc", client_secret=secret)) == "svc"
    assert name(await identified(basic("svc", secret)["Authorization"])) == "svc"


async def test_a_slow_hash_is_good_for_a_secret_too() -> None:
    assert name(await identified(client_id="slow", client_secret=SECRET)) == "slow"
    with pytest.raises(InvalidClient):
        await identified(client_id="slow", client_secret="wrong")


@pytest.mark.parametrize("scheme", ["Basic", "basic", "BASIC"])
async def test_id_and_secret_in_basic_are_encoded_like_a_form(scheme: str) -> None:
    """RFC 6749 §2.3.1"""
    encoded = b64encode(b"odd:a+secret%3A+with%2Bevery%25kind%2Fof+%C3%A9+character").decode()
    assert name(await identified(f"{scheme} {encoded}")) == "odd"


@pytest.mark.parametrize(
    ("authorization", "parameters"),
    [
        (None, {"client_id": "nobody"}),
        (None, {"client_id": "svc"}),
        (None, {"client_id": "svc", "client_secret": "wrong"}),
        (None, {"client_id": "web", "client_secret": SECRET}),
        (None, {"client_id": "nobody", "client_secret": SECRET}),
        (basic("svc", "wrong")["Authorization"], {}),
        (basic("svc", "")["Authorization"], {}),
        (basic("web", SECRET)["Authorization"], {}),
        (basic("nobody")["Authorization"], {}),
        ("Basic", {}),
        ("Basic !!!", {}),
        ("Basic " + b64encode(b"no colon").decode(), {}),
        ("Basic " + b64encode(b"svc:\xff").decode(), {}),
        ("Basic " + b64encode(b"svc:%ff").decode(), {}),
    ],
)
async def test_an_unknown_client_and_a_wrong_secret_are_refused_alike(
    authorization: str | None, parameters: dict[str, str]
) -> None:
    with pytest.raises(InvalidClient):
        await identified(authorization, **parameters)


@pytest.mark.parametrize(
    ("authorization", "parameters"),
    [
        (basic("svc")["Authorization"], {"client_id": "svc", "client_secret": SECRET}),
        (basic("svc")["Authorization"], {"client_secret": SECRET}),
        (basic("svc")["Authorization"], {"client_id": "web"}),
        (None, {"client_secret": SECRET}),
    ],
)
async def test_two_ways_at_once_are_refused(authorization: str | None, parameters: dict[str, str]) -> None:
    """C97"""
    with pytest.raises(MalformedGrantRequest):
        await identified(authorization, **parameters)


async def test_two_authorization_headers_are_refused() -> None:
    headers = CIMultiDict([("Authorization", basic("svc")["Authorization"]), ("Authorization", "Bearer x")])
    clients = Clients(CLIENTS, unread)
    with pytest.raises(MalformedGrantRequest):
        await clients.identify(make_mocked_request("POST", "/", headers), Parameters({}))
    clients.close()


async def test_secrets_can_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secrets").write_text(f"# old\n{hashed(OTHER_SECRET)}\n\n{hashed(SECRET)}\n")
    settings = ClientSettings(type="confidential", secret_file=Path("secrets"))
    clients = Clients({"svc": settings}, lambda file: (tmp_path / file).read_bytes())
    request = make_mocked_request("POST", "/", basic("svc"))
    assert name(await clients.authenticate(request, Parameters({}))) == "svc"
    clients.close()


def test_a_file_that_cannot_be_read_is_named_by_its_setting() -> None:
    with pytest.raises(BadSetting, match="cannot read secrets") as caught:
        Clients({"svc": ClientSettings(type="confidential", secret_file=Path("secrets"))}, unread)
    assert caught.value.path == ("clients", "svc", "secret_file")


@pytest.mark.parametrize("content", [b"", b"# nothing\n", b"a secret in the clear\n", b"\xff\n"])
def test_a_file_without_hashes_is_a_mistake_that_shows_nothing_of_it(content: bytes) -> None:
    settings = ClientSettings(type="confidential", secret_file=Path("secrets"))
    with pytest.raises(BadSetting, match=re.escape("secrets: ")) as caught:
        Clients({"svc": settings}, lambda file: content)
    assert caught.value.path == ("clients", "svc", "secret_file")
    assert "clear" not in str(caught.value)


async def test_a_proven_secret_is_not_hashed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    hashes = 0
    verify = PasswordHash.verify

    def counted(self: PasswordHash, password: bytes) -> bool:
        nonlocal hashes
        hashes += 1
        return verify(self, password)

    monkeypatch.setattr(PasswordHash, "verify", counted)
    text = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    checks = SecretChecks({"svc": (text,), "web": ()})
    assert await checks.is_right("svc", "secret")
    assert await checks.is_right("svc", "secret")
    assert hashes == 1
    for client_id, secret in (("svc", "wrong"), ("svc", "wrong"), ("nobody", "secret"), ("web", "secret")):
        assert not await checks.is_right(client_id, secret)
    assert hashes == 5, "an unknown client costs as much as a wrong secret"
    checks.close()


async def test_only_so_many_proven_secrets_are_remembered() -> None:
    checks = SecretChecks({f"c{number}": (hashed("secret"),) for number in range(300)})
    for number in range(300):
        assert await checks.is_right(f"c{number}", "secret")
    assert len(checks._proven) == 256
    checks.close()


async def test_an_argon2_hash_can_be_checked_while_others_are_served() -> None:
    text = hash_secret(b"secret", b"8" * 16, time_cost=1, memory_cost=64, parallelism=1, hash_len=32, type=Type.ID)
    checks = SecretChecks({"svc": (text.decode(),)})
    results = await asyncio.gather(*(checks.is_right("svc", secret) for secret in ("secret", "wrong", "secret")))
    assert results == [True, False, True]
    checks.close()


async def test_a_secret_that_cannot_be_checked_is_not_a_wrong_one() -> None:
    """As many checks as there may be are waiting already."""
    checks = SecretChecks({"svc": (bcrypt.hashpw(b"secret", bcrypt.gensalt(10)).decode(),)})
    results = await asyncio.gather(*(checks.is_right("svc", f"{n}") for n in range(40)), return_exceptions=True)
    assert {type(result) for result in results} == {bool, LoginSaturated}
    checks.close()
