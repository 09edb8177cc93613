from collections.abc import Mapping
from typing import Any

import pytest

from gateway.tokens.thumbprint import thumbprint
from tests.minting import make_key


@pytest.mark.parametrize(
    ("jwk", "expected"),
    [
        (
            # RFC 7638 §3.1
            {
                "kty": "RSA",
                "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWK"
                "RXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMic"
                "AtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3"
                "XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw",
                "e": "AQAB",
                "alg": "RS256",
                "kid": "2011-04-29",
            },
            "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs",
        ),
        (
            # RFC 8037 appendix A.3
            {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo", "use": "sig"},
            "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k",
        ),
    ],
)
def test_thumbprints_are_those_of_the_rfcs(jwk: Mapping[str, Any], expected: str) -> None:
    assert thumbprint(jwk) == expected


@pytest.mark.parametrize("algorithm", ["EdDSA", "ES256", "RS256", "HS256"])
def test_only_what_makes_the_key_counts(algorithm: str) -> None:
    key = make_key(algorithm)
    assert thumbprint(key.jwk(kid="a", use="enc", alg="x")) == thumbprint(key.jwk())
    assert thumbprint(key.jwk()) != thumbprint(
        make_key(algorithm, "other").jwk(**({"k": "AA"} if algorithm == "HS256" else {}))
    )
