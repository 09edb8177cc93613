import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.engine.answer_contract import AnswerContract
from gateway.mechanisms.base import Credentials

OWN = Credentials(cookies=frozenset({b"__Host-access", b"__Secure-refresh"}))
CONTRACT = AnswerContract(("X-Access-Token", "X-Refresh-Token"), [OWN])


def test_without_tokens_to_hand_out_nothing_is_owned() -> None:
    assert AnswerContract().owned == frozenset()
    assert AnswerContract(("X-Access-Token",)).owned == {b"x-access-token"}
    assert AnswerContract((), [Credentials()]).owned == frozenset()


def test_headers_of_tokens_are_owned_and_never_kept() -> None:
    assert CONTRACT.owned == {b"x-access-token", b"x-refresh-token", b"set-cookie"}
    assert not CONTRACT.keeps(b"x-access-token", b"eyJ")


@pytest.mark.parametrize(
    "value",
    [
        *(
            "__Host-access=a; Path=/; Secure",
            "__Host-access=",
            "__Host-access",
            "__host-ACCESS=a",
            "  __Host-access =a",
        ),
        *("=__Host-access=a", "= __Host-access=a", "\xa0__Host-access=a", "__Host%2Daccess=a", "__Secure-refresh=a;"),
        *("__Host-access[x]=a", '"__Host-access"=a', "__Host_access=a", "..Secure-refresh=a"),
    ],
)
def test_an_upstream_sets_no_cookie_of_the_gateways_in_any_spelling(value: str) -> None:
    assert not CONTRACT.keeps(b"set-cookie", value.encode("latin-1"))


@pytest.mark.parametrize(
    "value",
    ["theme=dark; Path=/", "a=__Host-access=b", "a=b; __Host-access=c", "__Host-access2=a", "__Host-session=a", ""],
)
def test_it_sets_its_own(value: str) -> None:
    assert CONTRACT.keeps(b"set-cookie", value.encode())


WHITE = st.text(st.sampled_from("\t \xa0\x85\u2000\u3000\u2028"), max_size=3)


@given(WHITE, WHITE, st.data())
def test_whatever_a_server_strips_or_folds_makes_no_other_name_of_it(
    before: str, after: str, data: st.DataObject
) -> None:
    """Unicode white space around a name is stripped by some, letters are compared without case by others."""
    name = "".join(data.draw(st.sampled_from([char.lower(), char.upper()])) for char in "__Host-access")
    assert not CONTRACT.keeps(b"set-cookie", f"{before}{name}{after}=x; Secure".encode())
