"""Login or sign-up at an existing backend: the gateway passes the credentials on, and believes the answer.

| the backend answers | the client gets |
|---|---|
| 2xx, a JSON object with the subject | a session |
| login: a status of `wrong_password_status` (400, 401, 403, 422) | 401, the wrong password |
| sign-up: 4xx but 404, 405, 407, 408 and 429 | the same status and JSON object; 400 if it is not a small one |
| 429 | 429, with the backend's `Retry-After` |
| anything else, or nothing in time | 503: whether the password is right is not known |

404 is not among the wrong passwords, because a wrong URL answers it too; a backend that says 404 for an unknown user
has it named in `wrong_password_status`.
"""

import ipaddress
import json
import re
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlencode

from pydantic import Field, model_validator

from gateway.mechanisms.base import Answer, BadSetting, FetchFailed, Post, Resources
from gateway.mechanisms.logins.backend_answer import UnusableAnswer, UserPaths, read_json, read_user
from gateway.mechanisms.logins.base import MAX_PASSWORD, Attempt, ProvenUser, as_bytes
from gateway.model.errors import Declined, LoginSaturated, LoginUnavailable, TooManyAttempts, WrongPassword
from gateway.model.host import is_loopback
from gateway.model.settings import ClaimPathSetting, HeaderName, Seconds, Settings
from gateway.tokens.issue import RESERVED_CLAIMS

MAX_ANSWER = 64 * 1024
"""Bytes of an answer."""
MAX_DECLINED = 8 * 1024
"""Bytes of an answer that is passed on."""
MAX_RETRY_AFTER = 3600
MOST_AT_ONCE = 40
"""Calls that wait for an answer, of the login and of the sign-up: one that hangs must not take the fetching of keys
along, nor the gateway's other endpoints."""

_WITHHELD = frozenset(
    {"accept", "accept-encoding", "authorization", "connection", "content-encoding", "content-length", "content-type"}
    | {"cookie", "expect", "forwarded", "host", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"}
    | {"proxy-authorization", "proxy-connection", "x-forwarded-for"}
)
"""Headers that are the gateway's to set, that belong to one connection, or that carry other credentials."""
_UNRELATED = frozenset({404, 405, 407, 408})
"""They speak of the URL, or of the connection: not of the user."""

_Status = Annotated[int, Field(ge=400, le=499)]


class BackendLoginSettings(Settings):
    """Login or sign-up at an existing backend, which is asked with the client's credentials."""

    url: str
    """Where the credentials are sent, with POST. https, or a loopback address, unless `http_login` is accepted."""
    send: Literal["json", "form"] = "json"
    """As what the credentials are sent."""
    username_field: Annotated[str, Field(min_length=1)] = "username"
    """The field for the user name."""
    password_field: Annotated[str, Field(min_length=1)] = "password"  # noqa: S105 - the name of a field
    """The field for the password."""
    more_fields: tuple[str, ...] = ()
    """Other fields of what the client sent that a login needs: a tenant, a one-time code. A sign-up sends them all."""
    forward_headers: tuple[HeaderName, ...] = ()
    """Headers of the client's request that the backend gets too, such as User-Agent. The client's address goes along
    in X-Forwarded-For anyway."""
    subject: ClaimPathSetting
    """Where in the answer the subject is: `user.id`. Text or an integer that never changes and is never given to
    somebody else."""
    scope: ClaimPathSetting | None = None
    """Where the scope is: words with spaces between, or a list of them."""
    claims: dict[Annotated[str, Field(min_length=1)], ClaimPathSetting] = {}
    """Claims of the access token, by name, and where in the answer each is. What is absent there is no claim."""
    wrong_password_status: frozenset[_Status] = frozenset({400, 401, 403, 422})
    """Statuses by which the backend says that the user name or the password is wrong, at a login."""
    timeout: Annotated[Seconds, Field(gt=0, le=60)] = 5
    """For the whole answer."""

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        if reserved := RESERVED_CLAIMS & self.claims.keys():
            raise ValueError(f"claims: the gateway itself sets {', '.join(sorted(reserved))}")
        if withheld := _WITHHELD & {name.lower() for name in self.forward_headers}:
            raise ValueError(f"forward_headers: cannot be forwarded: {', '.join(sorted(withheld))}")
        if self.username_field == self.password_field:
            raise ValueError("username_field and password_field are the same")
        if {self.username_field, self.password_field} & set(self.more_fields):
            raise ValueError("more_fields: the name and the password are sent anyway")
        return self

    def build(self, resources: Resources, post: Post, *, signs_up: bool = False) -> "BackendLogin":
        """`signs_up`: send everything the client sent, and pass on why the backend declined.

        Raises BadSetting for a URL that is none, or over which passwords could be read on the way.
        """
        from yarl import URL  # who has no backend need not load it

        try:
            url = URL(self.url)
        except ValueError as error:
            raise BadSetting("is not a URL", ("url",)) from error
        if url.scheme not in {"http", "https"} or not url.host or url.fragment:
            raise BadSetting("is not an http or https URL", ("url",))
        if url.user is not None or url.password is not None:
            raise BadSetting("must not contain credentials", ("url",))
        if url.scheme == "http" and not is_loopback(url.host) and "http_login" not in resources.insecure:
            message = "passwords could be read on the way; use https, or accept it: insecure: [http_login]"
            raise BadSetting(message, ("url",))
        return BackendLogin(self, resources, post, signs_up)


class BackendLogin:
    """Is a Login."""

    def __init__(self, settings: BackendLoginSettings, resources: Resources, post: Post, signs_up: bool) -> None:
        self._settings = settings
        self._notice = resources.notice
        self._post = post
        self._signs_up = signs_up
        self._paths = UserPaths(settings.subject, settings.scope, settings.claims)
        self._places = MOST_AT_ONCE

    async def prove(self, attempt: Attempt) -> ProvenUser:
        if len(as_bytes(attempt.password)) > MAX_PASSWORD:
            raise WrongPassword("longer than any password")
        if not self._places:
            raise LoginSaturated(f"{MOST_AT_ONCE} logins wait for the backend")
        settings = self._settings
        self._places -= 1
        try:
            body, headers = self._body(attempt), self._headers(attempt)
            answer = await self._post(settings.url, body, headers, timeout_s=settings.timeout, max_bytes=MAX_ANSWER)
            return self._read(answer)
        except (FetchFailed, UnusableAnswer) as error:
            self._notice("login_backend_failed", {"error": str(error)})
            raise LoginUnavailable(str(error)) from error
        finally:
            self._places += 1

    def close(self) -> None:
        """There is nothing to let go of."""

    def _read(self, answer: Answer) -> ProvenUser:
        status = answer.status
        if 200 <= status < 300:
            return read_user(answer.body, self._paths)
        if status == 429:
            raise TooManyAttempts("the backend wants it slower", retry_after=_retry_after(answer.retry_after))
        if not self._signs_up and status in self._settings.wrong_password_status:
            raise WrongPassword(f"the backend answered {status}")
        if self._signs_up and 400 <= status < 500 and status not in _UNRELATED:
            raise Declined(f"the backend answered {status}", answer_status=status, answer=_to_pass_on(answer.body))
        raise UnusableAnswer(f"the login backend answered {status}")

    def _body(self, attempt: Attempt) -> bytes:
        names = attempt.fields if self._signs_up else self._settings.more_fields
        fields = {name: attempt.fields[name] for name in names if name in attempt.fields}
        fields[self._settings.username_field] = attempt.username
        fields[self._settings.password_field] = attempt.password
        if self._settings.send == "json":
            return json.dumps(fields).encode()
        try:
            return urlencode({name: _as_text(value) for name, value in fields.items()}).encode()
        except ValueError as error:  # UnicodeEncodeError is one
            raise Declined("a field that a form cannot hold") from error

    def _headers(self, attempt: Attempt) -> dict[str, str]:
        kind = "json" if self._settings.send == "json" else "x-www-form-urlencoded"
        headers = {"Content-Type": f"application/{kind}"}
        for name in self._settings.forward_headers:
            if (value := attempt.headers.get(name.lower())) is not None and _HEADER_SAFE.fullmatch(value):
                headers[name] = value
        if _is_address(attempt.address):
            headers["X-Forwarded-For"] = attempt.address
        return headers


_HEADER_SAFE = re.compile(r"[\x20-\x7e]*")


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return json.dumps(value)
    raise ValueError("neither text nor a number")


def _to_pass_on(body: bytes) -> bytes | None:
    """Return a small JSON object, written anew: so it is nothing else for any client."""
    if len(body) > MAX_DECLINED:
        return None
    try:
        return json.dumps(read_json(body)).encode()
    except UnusableAnswer:
        return None


def _retry_after(value: str | None) -> int:
    if value is None or not re.fullmatch(r"[0-9]{1,9}", value):
        return 1
    return max(1, min(int(value), MAX_RETRY_AFTER))


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return "%" not in text
