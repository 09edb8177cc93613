"""The users file as a document: one user a line, `name:hash` or `name:hash:{"sub": …, "scope": …, "claims": {…}}`.

Compatible with htpasswd. Blank lines, and lines that start with `#`, mean nothing. A message about a line never
contains a hash.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.mechanisms.logins.base import MAX_CLAIMS, MAX_SUBJECT, ProvenUser, as_compared
from gateway.mechanisms.logins.hashes import PasswordHash, UnusableHash, read_hash
from gateway.model.scope import is_scope
from gateway.tokens.issue import RESERVED_CLAIMS
from gateway.tokens.strict_json import NotStrictJson, read_object

MAX_NAME = 255
"""Characters."""
MAX_FILE = 64 * 1024 * 1024
"""Bytes."""

_MEMBERS = frozenset({"sub", "scope", "claims"})


class BadUser(ValueError):
    """A line that is no user. The message completes `line 3: …`."""


@dataclass(frozen=True, slots=True)
class User:
    """One line. `user` is who it is once the password is proven."""

    name: str
    hash: PasswordHash
    user: ProvenUser


@dataclass(frozen=True, slots=True)
class Users:
    """What a users file says: the users by name, and its mistakes, each with its line number."""

    by_name: Mapping[str, User] = field(default_factory=dict)
    mistakes: tuple[str, ...] = ()


def read_users(content: bytes) -> Users:
    """Return the users of a file, and all its mistakes."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        return Users(mistakes=(f"line {number}: is not UTF-8",))
    by_name: dict[str, User] = {}
    first_on: dict[str, int] = {}
    mistakes = []
    for number, line in enumerate(lines_of(text), 1):
        if (name := name_on(line)) is None:
            continue
        try:
            if (first := first_on.setdefault(name, number)) != number:
                raise BadUser(f"the same user as on line {first}")
            by_name[name] = read_user(line)
        except BadUser as error:
            mistakes.append(f"line {number}: {error}")
    return Users(by_name, tuple(mistakes))


def lines_of(text: str) -> list[str]:
    """Return the lines without their ends. Only a line feed, or one after a carriage return, ends a line."""
    return [line.removesuffix("\r") for line in text.removesuffix("\n").split("\n")]


def name_on(line: str) -> str | None:
    """Return the name of the user on a line, whatever the rest is; None if the line means nothing."""
    if not line.strip() or line.startswith("#"):
        return None
    return as_compared(line.partition(":")[0])


def read_user(line: str) -> User:
    """Return the user on a line. Raises BadUser."""
    name, *rest = line.split(":", 2)
    checked = check_name(name)
    if not rest:
        raise BadUser("is not name:hash")
    try:
        hashed = read_hash(rest[0])
    except UnusableHash as error:
        raise BadUser(f"the hash {error}") from error
    return User(checked, hashed, _proven(checked, rest[1] if len(rest) > 1 else ""))


def write_user(name: str, hashed: PasswordHash, members: Mapping[str, Any]) -> str:
    """Return the line of a user, which `read_user` accepts. Raises BadUser."""
    shown = json.dumps(members, ensure_ascii=False, separators=(",", ":")) if members else ""
    line = f"{as_compared(name)}:{hashed.text}" + (f":{shown}" if shown else "")
    read_user(line)
    return line


def check_name(name: str) -> str:
    """Return a name in the form in which it is compared. Raises BadUser."""
    if not name or len(name) > MAX_NAME:
        raise BadUser(f"the name must have between 1 and {MAX_NAME} characters")
    if ":" in name or name != name.strip() or name.startswith("#") or not name.isprintable():
        raise BadUser("the name has a colon, a control character, a space at its edge or # at its start")
    return as_compared(name)


def _proven(name: str, members: str) -> ProvenUser:
    if not members.strip():
        return ProvenUser(name)
    try:
        values = read_object(members.encode())
    except NotStrictJson as error:
        raise BadUser(f"what follows the hash is not a JSON object: {error}") from error
    if problem := next(_problems(values), None):
        raise BadUser(problem)
    return ProvenUser(values.get("sub", name), values.get("scope"), values.get("claims", {}))


def _problems(values: Mapping[str, Any]) -> Iterator[str]:
    if values.keys() - _MEMBERS:
        yield "only sub, scope and claims may follow the hash"
    subject, scope, claims = values.get("sub", "x"), values.get("scope", "x"), values.get("claims", {})
    if not isinstance(subject, str) or not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        yield f"sub must be text of 1 to {MAX_SUBJECT} characters"
    if not isinstance(scope, str) or not (scope == "" or is_scope(scope)):
        yield "scope must be words with single spaces between"
    if not isinstance(claims, dict):
        yield "claims must be an object"
    elif reserved := RESERVED_CLAIMS & claims.keys():
        yield f"the gateway itself sets {', '.join(sorted(reserved))}"
    elif len(json.dumps(claims)) > MAX_CLAIMS:
        yield f"claims are more than {MAX_CLAIMS} bytes"
