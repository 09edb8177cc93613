import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.mechanisms.logins.base import MAX_CLAIMS, ProvenUser
from gateway.mechanisms.logins.hashes import read_hash
from gateway.mechanisms.logins.users_document import BadUser, check_name, read_user, read_users, write_user
from gateway.tokens.issue import RESERVED_CLAIMS
from tests.mechanisms.logins.hashing import cheap_argon2, cheap_bcrypt, cheap_scrypt

ARGON2, BCRYPT, SCRYPT = cheap_argon2(b"a"), cheap_bcrypt(b"b"), cheap_scrypt(b"c")


def test_each_line_is_a_user() -> None:
    users = read_users(
        f"# people\n\nalice:{ARGON2}:"
        f'{{"sub": "u-1", "scope": "orders:read orders:write", "claims": {{"team": "a:b"}}}}\r\n'
        f"  \nbob smith:{BCRYPT}\ncarol@example.com:{SCRYPT}:\n".encode()
    )
    assert users.mistakes == ()
    assert [user.user for user in users.by_name.values()] == [
        ProvenUser("u-1", "orders:read orders:write", {"team": "a:b"}),
        ProvenUser("bob smith", None, {}),
        ProvenUser("carol@example.com", None, {}),
    ]
    assert [user.hash.text for user in users.by_name.values()] == [ARGON2, BCRYPT, SCRYPT]


def test_an_empty_file_has_no_users() -> None:
    assert read_users(b"").by_name == {}
    assert read_users(b"# nobody").mistakes == ()


def test_all_mistakes_are_told_with_their_lines_and_without_hashes() -> None:
    md5 = "$apr1$abcdefgh$E1iUgGtCXS0H3XeLzUZ6n0"
    users = read_users(
        f"alice:{ARGON2}\n#\nbob:{md5}\ncarol\nalice:{BCRYPT}\n:{BCRYPT}\ndave:{BCRYPT}:[]\nerin:{SCRYPT}".encode()
    )
    assert [mistake.partition(":")[0] for mistake in users.mistakes] == [
        "line 3",
        "line 4",
        "line 5",
        "line 6",
        "line 7",
    ]
    assert "the same user as on line 1" in users.mistakes[2]
    assert all(secret not in mistake for mistake in users.mistakes for secret in (md5, BCRYPT, ARGON2))
    assert set(users.by_name) == {"alice", "erin"}
    assert users.by_name["alice"].hash.text == ARGON2


def test_the_same_name_in_two_forms_is_the_same_user() -> None:
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    users = read_users(f"{decomposed}:{ARGON2}\n{composed}:{BCRYPT}\n".encode())
    assert set(users.by_name) == {composed}
    assert len(users.mistakes) == 1


def test_a_file_in_another_encoding_is_a_mistake() -> None:
    users = read_users(b"#\n# caf\xe9\n")
    assert users.mistakes == ("line 2: is not UTF-8",)


def test_only_a_line_feed_ends_a_line() -> None:
    assert read_users(f"alice\u2028:{ARGON2}\n".encode()).mistakes
    assert read_users(f'alice:{ARGON2}:{{"claims": {{"note": "a\u2028b"}}}}\n'.encode()).mistakes == ()


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ("{", "not a JSON object"),
        ('{"sub": "a", "sub": "b"}', "not a JSON object"),
        ('{"role": "admin"}', "only sub, scope and claims"),
        ('{"sub": ""}', "sub must be"),
        ('{"sub": 7}', "sub must be"),
        ('{"sub": null}', "sub must be"),
        ('{"sub": "a\\nb"}', "sub must be"),
        ('{"sub": "' + "x" * 256 + '"}', "sub must be"),
        ('{"scope": ["a"]}', "scope must be"),
        ('{"scope": "a  b"}', "scope must be"),
        ('{"scope": "a\\"b"}', "scope must be"),
        ('{"claims": []}', "claims must be"),
        ('{"claims": {"x": "' + "y" * MAX_CLAIMS + '"}}', "more than"),
    ],
)
def test_what_follows_the_hash_is_checked(members: str, message: str) -> None:
    with pytest.raises(BadUser, match=message):
        read_user(f"alice:{ARGON2}:{members}")


@pytest.mark.parametrize("claim", sorted(RESERVED_CLAIMS))
def test_a_users_file_cannot_set_what_the_gateway_says(claim: str) -> None:
    with pytest.raises(BadUser, match=f"the gateway itself sets {claim}"):
        write_user("alice", read_hash(ARGON2), {"claims": {claim: "x"}})


def test_an_empty_scope_is_none_at_all_but_is_said() -> None:
    assert read_user(f'alice:{ARGON2}:{{"scope": ""}}').user.scope == ""


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\tb", "a\0", " a", "a ", "#a", "\ufeffa", "a\u202eb", "x" * 256])
def test_a_name_that_would_be_misread_is_refused(name: str) -> None:
    with pytest.raises(BadUser, match="name"):
        check_name(name)


@given(
    st.text(),
    st.fixed_dictionaries(
        {},
        optional={
            "sub": st.text(),
            "scope": st.text(),
            "claims": st.dictionaries(st.text(), st.text() | st.integers() | st.lists(st.text())),
        },
    ),
)
def test_what_is_written_is_read_again(name: str, members: dict[str, object]) -> None:
    try:
        line = write_user(name, read_hash(ARGON2), members)
    except BadUser:
        return
    users = read_users(f"# first\n{line}\nlast:{BCRYPT}\n".encode())
    if unicodedata.normalize("NFC", name) == "last":
        return
    assert users.mistakes == ()
    assert set(users.by_name) == {unicodedata.normalize("NFC", name), "last"}
    user = users.by_name[unicodedata.normalize("NFC", name)].user
    assert user.subject == members.get("sub", unicodedata.normalize("NFC", name))
    assert (user.scope, user.claims) == (members.get("scope"), members.get("claims", {}))
