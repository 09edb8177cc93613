"""Keys made on the spot in place of those that a configuration names: nothing else of it is changed that decides.

Tests run where the real keys are not, and where nobody can be asked for them. So each authenticator gets a key of its
own, of a kind that it takes, and tokens are signed with that: all that looks at a token then is what looks at it in a
running gateway. Files that have no part in a decision (TLS, passwords, users) are left out.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.commands.keeping.key_set import new_document
from gateway.commands.trying.keys import new_private_key
from gateway.config.schema import Config
from gateway.config.sessions import SessionsSettings
from gateway.config.upstreams import UpstreamSettings
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.mechanisms.key_file import read_key_file
from gateway.tokens import base64url
from gateway.tokens.keys import ALGORITHMS, RSA_ALGORITHMS

_PREFERRED = ("EdDSA", "ES256", "ES384", "ES512")
"""Keys of these are made in no time."""
_KID = "stand-in"
_ALWAYS = 0
"""From when on they sign: from before any case."""


@dataclass(frozen=True, slots=True)
class Signer:
    """A key that an authenticator takes, and the algorithm it signs with."""

    algorithm: str
    kid: str
    key: Any = field(repr=False)

    def sign(self, claims: Mapping[str, Any], typ: str | None) -> str:
        """Return a token; without `typ`, if that is None."""
        header = {"alg": self.algorithm, "kid": self.kid} | ({} if typ is None else {"typ": typ})
        signing_input = f"{_segment(header)}.{_segment(claims)}"
        signature = ALGORITHMS[self.algorithm].sign(signing_input.encode(), self.key)
        return f"{signing_input}.{base64url.encode(signature)}"

    def stranger(self) -> "Signer":
        """Return somebody who claims to be the same."""
        return Signer(self.algorithm, self.kid, _new_key(self.algorithm))


@dataclass(frozen=True, slots=True)
class StandIn:
    """A configuration with keys that were made on the spot, and who signs for each authenticator."""

    config: Config
    signers: Mapping[str, Signer]


def stand_in(config: Config, directory: Path) -> StandIn:
    """Return a configuration that decides the same. Files are written to `directory`, and named absolutely."""
    signers: dict[str, Signer] = {}
    authenticators: dict[str, Any] = {}
    sessions = None if config.sessions is None else _sessions(config.sessions, directory)
    for number, (name, settings) in enumerate(config.authenticators.items()):
        if isinstance(settings, JwtSettings):
            signers[name] = _signer(settings)
            authenticators[name] = _with_key(settings, signers[name], directory / f"keys-{number}")
        else:
            assert sessions is not None  # or it would not be valid
            own = read_key_file(sessions.key_file).signing_key(_ALWAYS)
            signers[name] = Signer(own.algorithm, own.kid, own.private_key)
            authenticators[name] = settings
    identity = config.identity
    if identity is not None:
        file = directory / "identity.pem"
        file.write_bytes(_pem())
        identity = identity.model_copy(update={"key_file": file, "other_keys": ()})
    without_files = {
        "authenticators": authenticators,
        "sessions": sessions,
        "identity": identity,
        "admin": None,
        "traces": None,
        "fetch": config.fetch.model_copy(update={"ca": None}),
        "listen": tuple(listener.model_copy(update={"tls": None}) for listener in config.listen),
        "upstreams": {name: _without_tls_files(upstream) for name, upstream in config.upstreams.items()},
    }
    return StandIn(config.model_copy(update=without_files), signers)


def _signer(settings: JwtSettings) -> Signer:
    chosen = next((name for name in _PREFERRED if name in settings.algorithms), settings.algorithms[0])
    return Signer(chosen, _KID, _new_key(chosen))


def _new_key(algorithm: str) -> Any:
    match algorithm:
        case "ES384":
            return ec.generate_private_key(ec.SECP384R1())
        case "ES512":
            return ec.generate_private_key(ec.SECP521R1())
        case "HS256" | "HS384" | "HS512":
            return secrets.token_hex(32).encode()
    return new_private_key("RS256" if algorithm in RSA_ALGORITHMS else algorithm)


def _with_key(settings: JwtSettings, signer: Signer, file: Path) -> JwtSettings:
    update: dict[str, Any] = dict.fromkeys(("jwks_file", "pem_file", "secret_file", "jwks_uri"))
    update["discovery"] = False
    if isinstance(signer.key, bytes):
        file.write_bytes(signer.key)
        update["secret_file"] = file
    else:
        jwk = ALGORITHMS[signer.algorithm].to_jwk(signer.key.public_key(), as_dict=True)
        jwk = {name: value for name, value in jwk.items() if name != "key_ops"}
        file.write_text(json.dumps({"keys": [{**jwk, "kid": signer.kid, "alg": signer.algorithm, "use": "sig"}]}))
        update["jwks_file"] = file
    return settings.model_copy(update=update)


def _sessions(settings: SessionsSettings, directory: Path) -> SessionsSettings:
    keys, users = directory / "keys.json", directory / "users"
    keys.write_bytes(new_document("EdDSA", _ALWAYS))
    users.touch()
    login = settings.login
    if login is not None and login.users is not None:
        login = login.model_copy(update={"users": login.users.model_copy(update={"file": users})})
    clients = {name: each.model_copy(update={"secret_file": None}) for name, each in settings.clients.items()}
    return settings.model_copy(update={"key_file": keys, "login": login, "clients": clients, "alarm": None})


def _without_tls_files(settings: UpstreamSettings) -> UpstreamSettings:
    no_files = dict.fromkeys(("ca", "certificate", "key"))
    return settings.model_copy(update={"tls": settings.tls.model_copy(update=no_files)})


def _pem() -> bytes:
    return new_private_key("EdDSA").private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _segment(members: Mapping[str, Any]) -> str:
    return base64url.encode(json.dumps(members, separators=(",", ":")).encode())
