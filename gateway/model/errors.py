"""Every reason to refuse a request, as a class.

The public face of a refusal is made of class constants (`status`, `error`, `description`), so nothing from a request
can leak into it. The message of an instance is for the log and for `gateway explain`; it never contains a token or a
claim. `reason` is the label in logs and metrics: the class name in snake case. A narrower reason is a subclass of a
broader one.
"""

import re
from typing import ClassVar


class Refusal(Exception):
    """A request that is not let through. Raise a subclass."""

    status: ClassVar[int]
    error: ClassVar[str]
    description: ClassVar[str]
    reason: ClassVar[str] = "refusal"
    challenges: ClassVar[bool] = False
    """Whether the answer carries `WWW-Authenticate`."""
    closes_connection: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.reason = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()


# --- 400: the request itself


class InvalidRequest(Refusal):
    status = 400
    error = "invalid_request"
    description = "The request is malformed"


class MalformedMessage(InvalidRequest):
    """Bytes that are not one unambiguous HTTP/1.1 message (RFC 9112)."""

    closes_connection = True


class AmbiguousTarget(InvalidRequest):
    """A request-target that two servers could read differently."""


class AmbiguousHost(InvalidRequest):
    """No Host, several, or one that is not a host name (RFC 9112 §3.2)."""


class AmbiguousHeader(InvalidRequest):
    """A header that may come once came twice, or `Connection` names a header that is not hop-by-hop."""


class InvalidCredentials(InvalidRequest):
    """Credentials that cannot even be read (RFC 6750 §3.1, `invalid_request`)."""

    challenges = True


class MalformedCredentials(InvalidCredentials):
    """A Bearer header that is not `Bearer` and one token68 (RFC 6750 §2.1)."""


class SeveralCredentials(InvalidCredentials):
    """More than one way to send a token was used in one request (RFC 6750 §3.1)."""


class OversizedToken(InvalidCredentials):
    """A token beyond `limits.token_bytes`; it was not looked into."""


class UnsupportedVersion(Refusal):
    status = 505
    error = "http_version_not_supported"
    description = "Only HTTP/1.1 and HTTP/1.0 are spoken here"
    closes_connection = True


class UnsupportedTransferCoding(Refusal):
    """RFC 9112 §6.1: a transfer coding other than `chunked`."""

    status = 501
    error = "not_implemented"
    description = "The transfer coding is not supported"
    closes_connection = True


class OversizedTarget(Refusal):
    status = 414
    error = "uri_too_long"
    description = "The request target is too long"
    closes_connection = True


class OversizedHead(Refusal):
    status = 431
    error = "request_header_fields_too_large"
    description = "The request headers are too large"
    closes_connection = True


class OversizedBody(Refusal):
    status = 413
    error = "content_too_large"
    description = "The request body is too large"


class UnsupportedMediaType(Refusal):
    status = 415
    error = "unsupported_media_type"
    description = "The content type is not supported"


class SlowRequest(Refusal):
    """The head or the body did not arrive in time."""

    status = 408
    error = "request_timeout"
    description = "The request did not arrive in time"
    closes_connection = True


class NoRoute(Refusal):
    status = 404
    error = "not_found"
    description = "Nothing is served here"


class MethodNotAllowed(Refusal):
    """One of the gateway's own endpoints was asked with another method than it takes. The answer has `Allow`."""

    status = 405
    error = "method_not_allowed"
    description = "The method is not allowed here"


# --- 401: the caller


class Unauthorized(Refusal):
    status = 401
    challenges = True


class MissingCredentials(Unauthorized):
    """No token in any of the places where the route looks: a bare challenge without error (RFC 6750 §3.1)."""

    error = "unauthorized"
    description = "A bearer token is required"


class UnknownCertificate(MissingCredentials):
    """The client certificate names no operator of the admin API, or has ended; and there is no token either."""


class InvalidToken(Unauthorized):
    """RFC 6750 §3.1. Subclasses share this face, so that a forger learns nothing from it."""

    error = "invalid_token"
    description = "The access token is invalid"


class MalformedToken(InvalidToken):
    """Not a JWS in compact form with a strict JSON header and payload (RFC 7515, RFC 8725 §3)."""


class ExpiredToken(InvalidToken):
    description = "The access token expired"


class NotYetValid(InvalidToken):
    """`nbf` or `iat` lies in the future."""


class UnknownIssuer(InvalidToken):
    """No authenticator of the route accepts the token's `iss`."""


class WrongIssuer(InvalidToken):
    """`iss` is not exactly the issuer of the authenticator."""


class WrongAudience(InvalidToken):
    pass


class WrongType(InvalidToken):
    """The `typ` header is not one the authenticator takes (RFC 8725 §3.11)."""


class WrongAlgorithm(InvalidToken):
    """`alg` is not allowed, or is not the algorithm of the key (RFC 8725 §3.1)."""


class UnknownKey(InvalidToken):
    """No key of the issuer has this `kid`, or none fits a token without `kid`."""


class BadSignature(InvalidToken):
    pass


class UnsupportedHeader(InvalidToken):
    """A `crit` header: an extension that must be understood and is not (RFC 7515 §4.1.11)."""


class MissingClaim(InvalidToken):
    pass


class InvalidClaim(InvalidToken):
    """A claim has the wrong JSON type or an impossible value."""


class LifetimeTooLong(InvalidToken):
    """`exp - iat` exceeds the authenticator's `max_lifetime`."""


class BoundToken(InvalidToken):
    """A sender-constrained token (`cnf`) came as a plain bearer token (RFC 9449 §7.2, RFC 8705 §3)."""


class RevokedToken(InvalidToken):
    """The token, its session, or all tokens of its subject, client or issuer up to some time were made void."""

    description = "The access token was revoked"


class RefusedRefreshToken(InvalidToken):
    """A refresh token that gives no new pair, where the answer is for clients that know 401 only: in `Authorization`
    on a route with `refresh_inline`, and where an endpoint's `errors` are `bearer`."""

    description = "The refresh token is invalid, expired or revoked"


class OversizedIdentity(InvalidToken):
    """The headers that would tell the upstream who is calling exceed `limits.identity_bytes`."""


class InsufficientAuthentication(Unauthorized):
    """RFC 9470 §3: the caller must authenticate again, stronger or more recently."""

    error = "insufficient_user_authentication"
    description = "A stronger or more recent authentication is required"

    def __init__(self, message: str, *, acr_values: tuple[str, ...] = (), max_age: int | None = None) -> None:
        super().__init__(message)
        self.acr_values = acr_values
        self.max_age = max_age


# --- sessions: the gateway's own endpoints (RFC 6749 §5.2)


class MalformedGrantRequest(InvalidRequest):
    """A parameter is missing, repeated, too long or in the wrong place; or the body is not what the endpoint takes."""


class AccessTokenMissing(InvalidRequest):
    """`exchange.access_token` wants the expired access token beside the refresh token."""

    description = "The access token must accompany the refresh token"


class StillValid(InvalidRequest):
    """`exchange.early: reject`, and the access token is still good. `retry_after` is in seconds."""

    description = "The access token is still valid"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class UnsupportedGrantType(InvalidRequest):
    error = "unsupported_grant_type"
    description = "The grant type is not supported"


class UnsupportedTokenType(InvalidRequest):
    """RFC 7009 §2.2.1: a token that cannot be revoked here."""

    error = "unsupported_token_type"
    description = "Tokens of this type cannot be revoked here"


class InvalidScope(InvalidRequest):
    """More scope than was granted, or than there is."""

    error = "invalid_scope"
    description = "The scope exceeds what was granted"


class UnauthorizedClient(InvalidRequest):
    """The client may not do this."""

    error = "unauthorized_client"
    description = "The client is not allowed to do this"


class InvalidClient(Refusal):
    """Client authentication failed (RFC 6749 §5.2). Answered with a challenge for Basic."""

    status = 401
    error = "invalid_client"
    description = "Client authentication failed"


class InvalidGrant(InvalidRequest):
    """RFC 6749 §5.2. Subclasses share this face, so that nobody learns which tokens ever were."""

    error = "invalid_grant"
    description = "The refresh token is invalid, expired or revoked"


class UnknownRefreshToken(InvalidGrant):
    """Malformed, not made with a key of ours, of no session, or with a MAC that does not fit."""


class WrongClient(InvalidGrant):
    """The refresh token is another client's."""


class ReusedRefreshToken(InvalidGrant):
    """It was replaced before, and came again outside the windows: the session has ended."""


class SuspectedTheft(InvalidGrant):
    """Exchanged too early, or with an access token older than its own: the session has ended."""


class ExpiredSession(InvalidGrant):
    """The refresh token ran out: unused for too long, or at its absolute end."""


class EndedSession(InvalidGrant):
    """Logged out, revoked, evicted, or ended before as stolen. Never a new alarm."""


class PairMismatch(InvalidGrant):
    """The access token beside the refresh token is not genuine, or not of the same pair. Nothing changed."""


class WrongPassword(Refusal):
    """Unknown user or wrong password: nobody can tell which."""

    status = 401
    error = "invalid_credentials"
    description = "The user name or the password is wrong"
    challenges = True


class TooManyAttempts(Refusal):
    """Slowed down. `retry_after` is in seconds."""

    status = 429
    error = "too_many_attempts"
    description = "Too many attempts; try again later"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(Refusal):
    """More requests than a rate limit of the route allows. `retry_after` is in seconds: then one passes."""

    status = 429
    error = "too_many_requests"
    description = "Too many requests; try again later"

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Declined(Refusal):
    """The backend declined a sign-up. `answer_status` and `answer` (JSON, if it gave any) are its own, to be passed on.

    The face is for where that cannot be done.
    """

    status = 400
    error = "declined"
    description = "The request was declined"

    def __init__(self, message: str, *, answer_status: int = 400, answer: bytes | None = None) -> None:
        super().__init__(message)
        self.answer_status = answer_status
        self.answer = answer


# --- 403: the permission


class Forbidden(Refusal):
    status = 403


class InsufficientScope(Forbidden):
    """RFC 6750 §3.1. `scope` holds the scopes that the route requires."""

    challenges = True
    error = "insufficient_scope"
    description = "The access token lacks a required scope"

    def __init__(self, message: str, *, scope: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.scope = scope


class RequirementNotMet(Forbidden):
    """A `require` entry about claims or the principal does not hold."""

    challenges = True
    error = "insufficient_scope"
    description = "The access token lacks a required privilege"


class ReadOnly(Forbidden):
    """Who may look at the admin API wants to change something: the role `write` is needed."""

    challenges = True
    error = "insufficient_scope"
    description = "The role does not allow changes"


class CrossSiteRequest(Forbidden):
    """A token from a cookie, on an unsafe method or an upgrade, without an allowed `Origin`. At the admin API: another
    site's page made the browser send it."""

    error = "access_denied"
    description = "The request came from another site"


class OriginNotAllowed(Forbidden):
    """A CORS preflight from an origin that the route does not allow."""

    error = "access_denied"
    description = "The origin is not allowed"


class TooManySessions(Forbidden):
    """`limit.on_excess: reject`, and the subject has as many sessions as it may."""

    error = "too_many_sessions"
    description = "There are too many sessions of this user"

    def __init__(self, message: str, *, sessions: int) -> None:
        super().__init__(message)
        self.sessions = sessions


# --- 5xx: not known, or not working. Never a reason to throw a token away.


class Unavailable(Refusal):
    status = 503
    error = "temporarily_unavailable"
    description = "The service is temporarily unavailable"
    retry_after: int = 5


class KeysUnavailable(Unavailable):
    """The issuer's keys cannot be had now, so nobody can say whether the token is good."""


class StaleRevocations(Unavailable):
    """What is known of revocations is older than the route's `max_staleness`, or nothing is known yet."""


class StoreUnavailable(Unavailable):
    """The store of sessions and revocations did not answer, or could not confirm. What it holds stays good."""


class Unconfirmed(StoreUnavailable):
    """Written, but no replica confirmed it in time: it does not count as done."""


class LoginUnavailable(Unavailable):
    """Nobody can say now whether the password is right: the backend was not reached, or was not understood."""


class LoginSaturated(LoginUnavailable):
    """As many passwords are being checked, and waiting for it, as there may be."""

    retry_after = 1


class UpstreamSaturated(Unavailable):
    """No connection to the upstream became free in time, or it has as many requests as it may."""

    retry_after = 1


class NoHealthyTarget(Unavailable):
    """All targets of the upstream are unhealthy, as their health checks found."""


class CircuitOpen(Unavailable):
    """The upstream failed too many requests, and is spared for a while. `retry_after` is in seconds."""

    def __init__(self, message: str, *, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ConnectionLimit(Unavailable):
    """The listener holds as many connections as `limits.connections` allows."""

    retry_after = 1
    closes_connection = True


class RequestLimit(Unavailable):
    """As many requests are being answered as `limits.requests`, or `requests` of the listener, allows."""

    retry_after = 1


class ShuttingDown(Unavailable):
    """The process was told to stop, and this took longer than it may then take."""

    retry_after = 1
    closes_connection = True


class UpstreamFailed(Refusal):
    status = 502
    error = "bad_gateway"
    description = "The upstream gave no valid answer"


class UpstreamUnreachable(UpstreamFailed):
    """No connection could be made."""


class UpstreamClosed(UpstreamFailed):
    """The upstream closed the connection before its answer was complete."""


class UpstreamMalformed(UpstreamFailed):
    """The answer is not HTTP/1.1, or is ambiguous."""


class UpstreamTimeout(Refusal):
    status = 504
    error = "gateway_timeout"
    description = "The upstream did not answer in time"


class ConnectTimeout(UpstreamTimeout):
    pass


class FirstByteTimeout(UpstreamTimeout):
    pass


class IdleTimeout(UpstreamTimeout):
    """The upstream fell silent in the middle of its answer, or stopped reading the request."""


class InternalError(Refusal):
    """A bug. It refuses."""

    status = 500
    error = "server_error"
    description = "Something went wrong"
    closes_connection = True


class ClientGone(Refusal):
    """Log and metrics only: the client closed the connection before it had the whole answer."""

    status = 499
    error = "client_closed_request"
    description = "The client closed the connection"
    closes_connection = True


class SlowReader(ClientGone):
    """Log and metrics only: the client took its answer more slowly than `limits.body_rate` and `timeouts.body` allow,
    so the connection was reset."""
