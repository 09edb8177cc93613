import subprocess
import sys

import bcrypt
import pytest
from argon2.low_level import Type

from gateway.mechanisms.logins.hashes import (
    ALGORITHMS,
    NEW_COST,
    Algorithm,
    CannotVerify,
    Cost,
    PasswordHash,
    UnusableHash,
    decoy,
    new_hash,
    read_hash,
)
from tests.mechanisms.logins.hashing import cheap_argon2, cheap_bcrypt, cheap_scrypt

PASSWORD = "pässword".encode()
SALT, DIGEST = "c29tZXNhbHRzb21lc2FsdA", "A" * 43
PASSLIB_SCRYPT = "$scrypt$ln=16,r=8,p=1$aM15713r3Xsvxbi31lqr1Q$nFNh2CVHVjNldFVKDHDlm4CbdRSCdEBsjjJxD+iCs5E"
"""Of `password`, from the documentation of passlib."""


@pytest.mark.parametrize(
    "text",
    [
        cheap_argon2(PASSWORD),
        *(cheap_bcrypt(PASSWORD, prefix) for prefix in (b"2a", b"2b", b"2y")),
        cheap_scrypt(PASSWORD),
    ],
    ids=lambda text: text[:7],
)
def test_a_hash_fits_its_password_only(text: str) -> None:
    hashed = read_hash(text)
    assert hashed.verify(PASSWORD)
    for wrong in (b"", PASSWORD[:-1], PASSWORD + b" ", PASSWORD.upper()):
        assert not hashed.verify(wrong)


def test_hashes_of_other_programs_are_understood() -> None:
    assert read_hash(PASSLIB_SCRYPT).verify(b"password")
    htpasswd = "$2y$05$c4WoMPo3SXsafkva.HHa6uXQZWr7oboPiC2bT/r7q1BB8I2s0BRqC"
    assert read_hash(htpasswd).verify(b"myPassword")


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_new_hash_is_one_that_is_read_and_its_decoy_costs_as_much(algorithm: Algorithm) -> None:
    hashed = new_hash(PASSWORD, algorithm)
    assert read_hash(hashed.text) == hashed
    assert hashed.verify(PASSWORD)
    assert new_hash(PASSWORD, algorithm) != hashed
    assert decoy(hashed.cost).cost == hashed.cost
    assert str(hashed.cost).startswith(algorithm)


def test_new_hashes_are_argon2id_as_rfc_9106_recommends() -> None:
    hashed = new_hash(PASSWORD)
    assert hashed.cost == NEW_COST
    assert hashed.text.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


@pytest.mark.parametrize(
    "text", [cheap_argon2(b"x"), cheap_bcrypt(b"x"), cheap_scrypt(b"x")], ids=lambda text: text[:7]
)
def test_a_decoy_is_computed_like_any_hash_and_fits_nothing(text: str) -> None:
    stand_in = decoy(read_hash(text).cost)
    assert not stand_in.verify(b"x")
    assert decoy(stand_in.cost) != stand_in
    assert len(stand_in.text) == len(text)


def test_bcrypt_looks_at_72_bytes_as_it_always_did() -> None:
    hashed = read_hash(bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode())
    assert hashed.verify(b"x" * 72)
    assert hashed.verify(b"x" * 73)
    assert not hashed.verify(b"x" * 71)


def test_bcrypt_is_not_chosen_for_what_it_would_cut_short() -> None:
    with pytest.raises(UnusableHash, match="72 bytes"):
        new_hash("é".encode() * 37, "bcrypt")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "secret",
        "{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=",
        "$apr1$abcdefgh$E1iUgGtCXS0H3XeLzUZ6n0",
        "$1$abcdefgh$E1iUgGtCXS0H3XeLzUZ6n0",
        "$6$saltsalt$" + "a" * 86,
        "rqXexS6ZhobKA",
        "5f4dcc3b5aa765d61d8327deb882cf99",
        cheap_argon2(b"x", kind=Type.I),
        cheap_argon2(b"x", kind=Type.D),
        f"$argon2id$m=8,t=1,p=1${SALT}${DIGEST}",
        f"$argon2id$v=16$m=8,t=1,p=1${SALT}${DIGEST}",
        f"$argon2id$v=19$m=8,t=0,p=1${SALT}${DIGEST}",
        f"$argon2id$v=19$m=8,t=1,p=2${SALT}${DIGEST}",
        f"$argon2id$v=19$m=8192,t=1,p=65${SALT}${DIGEST}",
        f"$argon2id$v=19$m=8,t=1,p=1${SALT}",
        f"$argon2id$v=19$m=8,t=1,p=1${SALT}${DIGEST[:-1]}B",
        f"$argon2id$v=19$m=8,t=1,p=1${SALT}${'A' * 41}",
        cheap_argon2(b"x") + "\n",
        "$2x$04$" + "." * 53,
        "$2b$03$" + "." * 53,
        "$2b$04$" + "a" * 53,
        "$2b$04$" + "." * 52,
        f"$scrypt$ln=0,r=8,p=1${SALT}${DIGEST}",
        f"$scrypt$ln=4,r=8${SALT}${DIGEST}",
    ],
    ids=lambda text: text[:24],
)
def test_anything_else_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(UnusableHash) as caught:
        read_hash(text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        f"$argon2id$v=19$m=1048577,t=1,p=1${SALT}${DIGEST}",
        f"$argon2id$v=19$m=1048576,t=3,p=1${SALT}${DIGEST}",
        f"$argon2id$v=19$m=8,t=4294967295,p=1${SALT}${DIGEST}",
        "$2b$16$" + "." * 53,
        "$2b$31$" + "." * 53,
        f"$scrypt$ln=21,r=8,p=1${SALT}${DIGEST}",
        f"$scrypt$ln=14,r=8,p=65${SALT}${DIGEST}",
        f"$scrypt$ln=4,r=999999,p=999999${SALT}${DIGEST}",
        f"$scrypt$ln=99,r=1,p=1${SALT}${DIGEST}",
    ],
)
def test_a_hash_that_would_stop_the_gateway_is_refused(text: str) -> None:
    with pytest.raises(UnusableHash, match=r"several seconds|cost"):
        read_hash(text)


def test_want_of_memory_says_nothing_about_the_password() -> None:
    """In a process of its own, whose memory is limited."""
    text = f"$argon2id$v=19$m=524288,t=1,p=1${SALT}${DIGEST}"
    program = f"""
import resource
from gateway.mechanisms.logins.hashes import CannotVerify, read_hash
hashed = read_hash({text!r})
import argon2.low_level, bcrypt
resource.setrlimit(resource.RLIMIT_AS, (1, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    print(hashed.verify(b"password"))
except CannotVerify as error:
    print("cannot verify:", error)
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert ran.stdout.startswith("cannot verify: ")


def test_a_hash_does_not_show_itself() -> None:
    text = cheap_argon2(b"x")
    assert text.rpartition("$")[2] not in repr(read_hash(text))


def test_argon2_is_not_loaded_before_it_is_needed() -> None:
    """Nor is bcrypt, but cryptography loads that itself."""
    program = """
import sys, gateway.mechanisms.logins, gateway.commands.users
assert "argon2" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize(
    ("algorithm", "text"),
    [
        ("argon2id", f"$argon2id$v=19$m=1,t=1,p=1${SALT}${DIGEST}"),
        ("bcrypt", "$2b$04$" + "a" * 53),
        ("scrypt", f"$scrypt$ln=24,r=8,p=1${SALT}${DIGEST}"),
    ],
)
def test_what_a_library_refuses_to_compute_is_no_wrong_password(algorithm: Algorithm, text: str) -> None:
    with pytest.raises(CannotVerify):
        PasswordHash(Cost(algorithm, (1,) if algorithm == "bcrypt" else (1, 1, 1)), text).verify(b"x")
