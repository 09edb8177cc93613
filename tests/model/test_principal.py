import pytest

from gateway.model.principal import ClaimPath, claim_at
from tests.judging import principal

CLAIMS = {
    "sub": "alice",
    "realm_access": {"roles": ["admin"]},
    "https://x.example/team": "a",
    "nothing": None,
    "no": False,
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("sub",), "alice"),
        (("realm_access", "roles"), ["admin"]),
        (("https://x.example/team",), "a"),
        (("no",), False),
        (("nothing",), None),
        (("absent",), None),
        (("sub", "deeper"), None),
        (("realm_access", "roles", "0"), None),
        (("nothing", "deeper"), None),
    ],
)
def test_a_claim_is_found_at_its_path_and_absent_elsewhere(path: ClaimPath, value: object) -> None:
    assert claim_at(CLAIMS, path) == value


def test_principals_are_compared_by_identity() -> None:
    alice = principal()
    assert alice == alice
    assert alice != principal()


def test_the_memo_of_headers_belongs_to_one_principal_and_is_not_shown() -> None:
    assert principal().identity_headers is not principal().identity_headers
    assert "identity_headers" not in repr(principal())
