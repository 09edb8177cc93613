"""`gateway token`: tokens and keys for trying things out."""

import argparse
import json
import secrets
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from gateway.commands.arguments import duration
from gateway.commands.trying.keys import NEW_KEY_ALGORITHMS, Signer, read_secret, read_signing_key, write_key_pair
from gateway.model.errors import InvalidToken
from gateway.model.moments import distance, moment
from gateway.tokens.jose import Jws, read_jws
from gateway.tokens.keys import ALGORITHMS
from gateway.tokens.signing import UnusableKey

_TIMES: Final = frozenset({"exp", "iat", "nbf", "auth_time", "updated_at"})


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("token", help="make and read tokens and keys, for trying things out")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    _add_mint(actions.add_parser("mint", help="print a signed token", description="Print a signed token."))
    _add_decode(
        actions.add_parser(
            "decode",
            help="print what a token says",
            description="Print what a token says. This does not verify the signature: see `gateway explain`.",
        )
    )
    _add_key(
        actions.add_parser(
            "key", help="make a key pair", description="Make a key pair. Files that exist are not overwritten."
        )
    )


def _add_mint(parser: argparse.ArgumentParser) -> None:
    keys = parser.add_mutually_exclusive_group(required=True)
    keys.add_argument("--key", type=Path, metavar="FILE", help="private key: PEM, JWK or JWK set")
    keys.add_argument("--secret-file", type=Path, metavar="FILE", help="HMAC secret, as in the setting secret_file")
    parser.add_argument("--alg", choices=sorted(ALGORITHMS), help="RS256 for RSA keys, HS256 for secrets if left out")
    parser.add_argument("--kid", help="the key's thumbprint, or the kid in the JWK, if left out; no kid with a secret")
    parser.add_argument("--typ", default="at+jwt", help="at+jwt if left out")
    parser.add_argument("--issuer", required=True)
    parser.add_argument("--audience", required=True, action="append", help="may be repeated")
    parser.add_argument("--subject", required=True)
    parser.add_argument("--scope", action="append", default=[], help="may be repeated")
    parser.add_argument("--lifetime", type=duration, default=3600.0, help="10m, 1h, ...; 1h if left out")
    parser.add_argument("--at", type=float, metavar="UNIX_SECONDS", help="when it is issued; now if left out")
    parser.add_argument(
        "--claim",
        type=_claim,
        action="append",
        default=[],
        metavar="NAME=JSON",
        help="any claim, also in place of one of the above; what is not JSON is text; may be repeated",
    )


def _add_decode(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("token", nargs="?", default="-", metavar="TOKEN", help="- or nothing: from standard input")


def _add_key(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--alg", choices=NEW_KEY_ALGORITHMS, default="EdDSA", help="EdDSA if left out")
    parser.add_argument("--private", type=Path, required=True, metavar="FILE", help="where the private key goes (PEM)")
    parser.add_argument("--jwks", type=Path, required=True, metavar="FILE", help="where the public key goes (JWK set)")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if a key, a file or a token cannot be used."""
    try:
        print({"mint": _mint, "decode": _decode, "key": _key}[arguments.action](arguments))
    except UnusableKey as error:
        print(f"{arguments.key or arguments.secret_file}: the key {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
        return 1
    except InvalidToken as error:
        print(f"not a token: {error}", file=sys.stderr)
        return 1
    return 0


def _mint(arguments: argparse.Namespace) -> str:
    if arguments.key is not None:
        key: Signer = read_signing_key(arguments.key, kid=arguments.kid, algorithm=arguments.alg)
    else:
        key = read_secret(arguments.secret_file, kid=arguments.kid, algorithm=arguments.alg or "HS256")
    issued_at = int(time.time() if arguments.at is None else arguments.at)
    audiences = arguments.audience
    claims = access_claims(
        arguments.issuer,
        audiences[0] if len(audiences) == 1 else audiences,
        arguments.subject,
        scope=" ".join(arguments.scope),
        issued_at=issued_at,
        lifetime=int(arguments.lifetime),
    )
    return key.sign({**claims, **dict(arguments.claim)}, typ=arguments.typ)


def access_claims(
    issuer: str, audience: str | list[str], subject: str, *, scope: str, issued_at: int, lifetime: int
) -> dict[str, Any]:
    """Return the claims of an access token (RFC 9068 §2.2)."""
    claims: dict[str, Any] = {
        "iss": issuer,
        "aud": audience,
        "sub": subject,
        "iat": issued_at,
        "exp": issued_at + lifetime,
        "jti": secrets.token_urlsafe(12),
    }
    return claims | {"scope": scope} if scope else claims


def _decode(arguments: argparse.Namespace) -> str:
    token = sys.stdin.read() if arguments.token == "-" else arguments.token  # noqa: S105 - standard input
    return "\n".join(_decoded(read_jws(token.strip()), time.time()))


def _decoded(jws: Jws, now: float) -> Iterator[str]:
    yield "This does not verify the signature: anybody could have written it."
    for title, values in (("Header", jws.header), ("Claims", jws.payload)):
        yield ""
        yield title
        width = max(map(len, values), default=0)
        for name, value in values.items():
            yield f"  {_shown(name):{width}}  {json.dumps(value)}{_time(name, value, now)}"


def _shown(name: str) -> str:
    return json.dumps(name)[1:-1]


def _time(name: str, value: object, now: float) -> str:
    if name not in _TIMES or isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    return f"  {moment(value)}, {distance(value, now)}"


def _key(arguments: argparse.Namespace) -> str:
    key = write_key_pair(arguments.alg, arguments.private, arguments.jwks)
    return f"{arguments.private}: private key, {key.algorithm}\n{arguments.jwks}: public key, kid {key.kid}"


def _claim(text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError("must be NAME=JSON")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value
