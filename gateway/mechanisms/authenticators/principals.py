"""The principals that verified claims make."""

from typing import Any

from gateway.model.bounded import Bounded
from gateway.model.principal import Claims, Principal, PrincipalType
from gateway.model.revocation import Level, Marker, generation_mark, mark, session_mark, token_name


class Principals:
    """Makes the principals of one issuer's tokens, and remembers what many of them share.

    Only what a key of the issuer has signed gets here.
    """

    def __init__(self, authenticator: str, issuer: str, leeway: float) -> None:
        self._authenticator = authenticator
        self._issuer = issuer
        self._leeway = leeway
        self._everything = mark(Level.EVERYTHING, issuer, "")
        self._all_of_issuer = mark(Level.ISSUER, issuer, "")
        self._client = Marker(Level.CLIENT, issuer)
        self._subject = Marker(Level.SUBJECT, issuer)
        self._session = Marker(Level.SESSION, issuer)
        self._token = Marker(Level.TOKEN, issuer)
        self._clients: Bounded[str, bytes] = Bounded()
        self._scopes: Bounded[str, frozenset[str]] = Bounded()

    def principal(self, claims: Claims, token: str, verified_by: str) -> Principal:
        """Return whom the claims of a good token of another issuer prove.

        Its ordinal for revocations is its `iat`; without one, any cut-off is later.
        """
        client_id, issued_at, sid = _client_id(claims), claims.get("iat"), claims.get("sid")
        session = self._session.mark(sid) if type(sid) is str else None
        marks = self._marks(claims, client_id, token, session, -1 if issued_at is None else int(issued_at))
        return self._principal(claims, _type(claims, client_id), client_id, verified_by, marks)

    def own_principal(self, claims: Claims, token: str, verified_by: str, sid: str, generation: int) -> Principal:
        """Return whom the claims of one of our own tokens prove. Its session is always a user's, even of one who is
        called like a client.

        A cut-off is about logins before it: the ordinal is `auth_time`, so that a token exchanged by a gateway that had
        not heard of the cut-off yet is void like the session it comes from.
        """
        client_id = _client_id(claims)
        marks = self._marks(claims, client_id, token, session_mark(sid), claims["auth_time"])
        marks.append((generation_mark(sid), generation))
        return self._principal(claims, "user", client_id, verified_by, marks, sid, generation)

    def _principal(
        self,
        claims: Claims,
        kind: PrincipalType,
        client_id: str | None,
        verified_by: str,
        marks: list[tuple[bytes, int]],
        session_id: str | None = None,
        generation: int | None = None,
    ) -> Principal:
        issued_at, expires_at = claims.get("iat"), claims["exp"]
        return Principal(  # by position: this many names would cost as much as the marks
            claims["sub"],
            self._issuer,
            kind,
            claims,
            self._granted(claims),
            None if issued_at is None else int(issued_at),
            int(expires_at),
            expires_at + self._leeway,
            _text(claims.get("jti")),
            client_id,
            self._authenticator,
            verified_by,
            tuple(marks),
            session_id,
            generation,
        )

    def _marks(
        self, claims: Claims, client_id: str | None, token: str, session: bytes | None, ordinal: int
    ) -> list[tuple[bytes, int]]:
        """Return what a revocation can name the token by."""
        marks = [(self._everything, ordinal), (self._all_of_issuer, ordinal)]
        if client_id is not None:
            known = self._clients.get(client_id)
            marks.append((known or self._clients.remember(client_id, self._client.mark(client_id)), ordinal))
        marks.append((self._subject.mark(claims["sub"]), ordinal))
        if session is not None:
            marks.append((session, ordinal))
        marks.append((self._token.mark(_text(claims.get("jti")) or token_name(token)), ordinal))
        return marks

    def _granted(self, claims: Claims) -> frozenset[str]:
        """Return the granted scopes: `scope` (RFC 8693 §4.2) and `scp`, each a list or words with spaces between.

        Anything else grants nothing.
        """
        scope, scp = claims.get("scope"), claims.get("scp")
        if scp is None and type(scope) is str:
            known = self._scopes.get(scope)
            return self._scopes.remember(scope, _scopes(scope)) if known is None else known
        return _scopes(scope) | _scopes(scp)


def _scopes(value: Any) -> frozenset[str]:
    if type(value) is str:
        return frozenset(scope for scope in value.split(" ") if scope)
    if type(value) is list:
        return frozenset(scope for scope in value if type(scope) is str and scope)
    return frozenset()


def _type(claims: Claims, client_id: str | None) -> PrincipalType:
    """RFC 9700 §4.15: a client that got a token for itself must not pass for a user whose `sub` is the same."""
    is_client = (
        claims["sub"] == client_id
        or claims.get("idtyp") == "app"  # Microsoft Entra
        or claims.get("gty") == "client-credentials"  # Auth0
    )
    return "client" if is_client else "user"


def _client_id(claims: Claims) -> str | None:
    return _text(claims.get("client_id")) or _text(claims.get("azp"))


def _text(value: Any) -> str | None:
    return value if type(value) is str else None
