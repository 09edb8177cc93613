"""The section `admin`: what says who may use the admin API, and the files that it names."""

import ssl
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from pydantic import ValidationError

from gateway.config.admin import Admin, AdminRateLimit
from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import shown_path
from gateway.config.snapshot import Snapshot
from gateway.mechanisms.base import offline_resources
from tests.minting import jwks
from tests.trips.certificates import make_authority
from tests.trips.reloading import whole
from tests.trips.running import KEY

REQUIRE = [{"scopes": ["x"]}]
TLS = {"certificate": "ca-localhost.pem", "key": "ca-localhost.key"}
CLIENTS = {**TLS, "client_ca": "ca.pem"}
TOKEN, OTHER = "t" * 32, "o" * 32


def wrong(**settings: Any) -> str:
    """Return what is wrong with the settings; nothing if they are good."""
    try:
        Admin.model_validate(settings)
    except ValidationError as error:
        return " ".join(each["msg"] for each in error.errors())
    return ""


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "nobody could use it"),
        ({"tls": CLIENTS}, "nobody could use it"),
        ({"token_file": "t", "read": {}}, "nobody could use it"),
        ({"authenticators": ["a"]}, "every caller"),
        ({"authenticators": ["a"], "read": {"token_file": "t"}}, "every caller"),
        ({"token_file": "t", "require": REQUIRE}, "require goes with authenticators"),
        ({"token_file": "t", "read": {"require": REQUIRE}}, "require goes with authenticators"),
        ({"certificates": ["CN:alice"]}, "tls.client_ca"),
        ({"certificates": ["CN:alice"], "tls": TLS}, "tls.client_ca"),
        ({"token_file": "t", "read": {"certificates": ["CN:alice"]}}, "tls.client_ca"),
        ({"certificates": ["CN:a"], "read": {"certificates": ["CN:a"]}, "tls": CLIENTS}, "CN:a is named twice"),
        ({"certificates": ["DNS:a.b", "DNS:A.B"], "tls": CLIENTS}, "DNS:a.b is named twice"),
        ({"token_file": "t", "tls": {**TLS, "client_certificates": "optional"}}, "goes with tls.client_ca"),
        ({"certificates": ["alice"], "tls": CLIENTS}, "names no certificate"),
        ({"certificates": ["cn:alice"], "tls": CLIENTS}, "names no certificate"),
        ({"certificates": ["DNS:"], "tls": CLIENTS}, "names no certificate"),
        ({"certificates": ["CN:alice "], "tls": CLIENTS}, "names no certificate"),
        ({"certificates": ["IP:10.0.0.1"], "tls": CLIENTS}, "names no certificate"),
        ({"token_file": "t", "rate_limit": {"requests": 0}}, "greater than or equal to 1"),
        ({"token_file": "t", "rate_limit": None}, "valid"),
    ],
)
def test_settings_that_let_nobody_in_or_everybody_are_mistakes(settings: dict[str, Any], says: str) -> None:
    assert says in wrong(**settings)
    assert wrong(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"token_file": "t"},
        {"read": {"token_file": "t"}},
        {"authenticators": ["a"], "require": REQUIRE},
        {"authenticators": ["a"], "read": {"require": REQUIRE}},
        {"certificates": ["CN:Alice B"], "tls": CLIENTS},
        {"read": {"certificates": ["email:a@b"]}, "tls": {**CLIENTS, "client_certificates": "optional"}},
        {"token_file": "t", "tls": CLIENTS},
    ],
)
def test_one_way_in_is_enough(settings: dict[str, Any]) -> None:
    assert wrong(**settings) == ""


def test_host_names_of_certificates_are_compared_in_lower_case() -> None:
    names = ["DNS:A.Example", "URI:https://A.Example", "CN:Alice"]
    admin = Admin.model_validate({"certificates": names, "tls": CLIENTS})
    assert admin.certificates == ("DNS:a.example", "URI:https://A.Example", "CN:Alice")


def test_the_limit_goes_on_counting_while_it_is_the_same() -> None:
    limit = AdminRateLimit().build()
    assert (limit.requests, limit.per, limit.burst, limit.is_shared) == (1200, 60, 1200, False)
    assert AdminRateLimit().build().name == limit.name
    assert AdminRateLimit(burst=10).build().name != limit.name


# --- files


def compiled(directory: Path, **admin: Any) -> Snapshot:
    """Return what becomes of a whole configuration. Raises CompileMistakes."""
    (directory / "keys.json").write_bytes(jwks(KEY))
    for name, token in (("token", TOKEN), ("other", OTHER)):
        (directory / name).write_text(f"{token}\n")
    file = directory / "gateway.yaml"
    file.write_bytes(whole("", admin=admin))
    return compile_config(load_config(file, {}).config, offline_resources(directory))


def test_each_file_is_for_one_role(tmp_path: Path) -> None:
    (tmp_path / "two").write_text(f"{'1' * 32}\n{'2' * 32}\n")
    snapshot = compiled(tmp_path, token_file="two", read={"token_file": "other"})
    assert snapshot.admin is not None
    assert (len(snapshot.admin.tokens), len(snapshot.admin.read_tokens), snapshot.admin.tls) == (2, 1, None)
    assert repr(snapshot.admin.tokens[0]) not in repr(snapshot.admin)


def told(directory: Path, **admin: Any) -> dict[str, str]:
    """Return what is wrong with the files, by setting."""
    with pytest.raises(CompileMistakes) as caught:
        compiled(directory, **admin)
    return {shown_path(path): message for path, message in caught.value.mistakes}


def test_a_token_in_both_files_is_told_at_check(tmp_path: Path) -> None:
    (tmp_path / "both").write_text(f"{'3' * 32}\n{TOKEN}\n")
    for name in ("both", "token"):
        [(place, message)] = told(tmp_path, token_file="token", read={"token_file": name}).items()
        assert place == "admin.read.token_file"
        assert "also in admin.token_file" in message
        assert TOKEN not in message


def test_every_file_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("short")
    found = told(tmp_path, token_file="missing", read={"token_file": "short"}, tls=CLIENTS)
    assert list(found) == ["admin.token_file", "admin.read.token_file", "admin.tls"]


def test_tls_asks_for_certificates_as_it_is_told(tmp_path: Path) -> None:
    make_authority(tmp_path).issue("localhost")
    for tls, asks in (
        (TLS, ssl.CERT_NONE),
        (CLIENTS, ssl.CERT_REQUIRED),
        ({**CLIENTS, "client_certificates": "optional"}, ssl.CERT_OPTIONAL),
    ):
        snapshot = compiled(tmp_path, token_file="token", tls=tls)
        assert snapshot.admin is not None
        assert snapshot.admin.tls is not None
        assert snapshot.admin.tls.context.verify_mode == asks
        assert snapshot.admin.tls.names == {"localhost"}
        assert snapshot.admin.tls.clients == (None if tls is TLS else (tmp_path / "ca.pem").read_bytes())
        assert snapshot.admin.tls.context.clients == snapshot.admin.tls.clients
        assert [address for address, _ in snapshot.server_tls] == ["127.0.0.1:9091"]


def test_a_certificate_without_names_has_none(tmp_path: Path) -> None:
    """The authority's own certificate has no subject alternative names."""
    authority = make_authority(tmp_path)
    key = authority.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "ca.key").write_bytes(key)
    snapshot = compiled(tmp_path, token_file="token", tls={"certificate": "ca.pem", "key": "ca.key"})
    assert snapshot.admin is not None
    assert snapshot.admin.tls is not None
    assert snapshot.admin.tls.names == frozenset()
    assert snapshot.admin.tls.expires_at is not None
