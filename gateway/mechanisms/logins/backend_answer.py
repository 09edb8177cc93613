"""A backend's answer to a login, read as a proven user. No message here quotes the answer."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.mechanisms.logins.base import MAX_CLAIMS, MAX_SUBJECT, ProvenUser
from gateway.model.principal import ClaimPath, claim_at
from gateway.model.scope import is_scope_name
from gateway.tokens.strict_json import NotStrictJson, read_object

_MAX_SCOPE = 4096


class UnusableAnswer(Exception):
    """An answer from which nobody can tell who it is. The message names what is wrong, and no value."""


@dataclass(frozen=True, slots=True)
class UserPaths:
    """Where the parts of a user are in the answer."""

    subject: ClaimPath
    scope: ClaimPath | None
    claims: Mapping[str, ClaimPath]


def read_user(body: bytes, paths: UserPaths) -> ProvenUser:
    """Return the user that a 2xx answer is about. Raises UnusableAnswer."""
    answer = read_json(body)
    found = {name: claim_at(answer, path) for name, path in paths.claims.items()}
    claims = {name: value for name, value in found.items() if value is not None}
    if len(json.dumps(claims)) > MAX_CLAIMS:
        raise UnusableAnswer(f"the claims from the login backend are more than {MAX_CLAIMS} bytes")
    return ProvenUser(_subject(answer, paths.subject), _scope(answer, paths.scope), claims)


def read_json(body: bytes) -> dict[str, Any]:
    """Return the JSON object that an answer is. Raises UnusableAnswer."""
    try:
        return read_object(body)
    except NotStrictJson as error:
        raise UnusableAnswer("the login backend did not answer with a strict JSON object") from error


def _subject(answer: Mapping[str, Any], path: ClaimPath) -> str:
    value = claim_at(answer, path)
    if value is None:
        raise UnusableAnswer(f"the answer of the login backend has no {'.'.join(path)}, which is the subject")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not 0 < len(value) <= MAX_SUBJECT or not value.isprintable():
        what = f"text of 1 to {MAX_SUBJECT} characters, or an integer"
        raise UnusableAnswer(f"{'.'.join(path)} in the answer of the login backend is not a subject: {what}")
    return value


def _scope(answer: Mapping[str, Any], path: ClaimPath | None) -> str | None:
    value = None if path is None else claim_at(answer, path)
    if path is None or value is None:
        return None
    words = value.split() if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) and is_scope_name(word) for word in words):
        raise UnusableAnswer(f"{'.'.join(path)} in the answer of the login backend is not a scope")
    scope = " ".join(words)
    if len(scope) > _MAX_SCOPE:
        raise UnusableAnswer(f"{'.'.join(path)} in the answer of the login backend is more than {_MAX_SCOPE} bytes")
    return scope
