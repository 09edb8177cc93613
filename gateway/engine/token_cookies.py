"""Tokens in cookies, as a browser is told to keep them: out of reach of scripts, of other hosts and of plain HTTP."""

from dataclasses import dataclass

from gateway.model.session import Issued


@dataclass(frozen=True, slots=True)
class AccessCookie:
    """The cookie of the access token.

    `outlives_token`: where an exchange wants the expired access token, it is kept as long as the refresh token is good.
    """

    name: str
    same_site: str
    outlives_token: bool = False

    def line(self, issued: Issued, now: float) -> str:
        """Return the value of `Set-Cookie`."""
        age = refresh_age(issued, now) if self.outlives_token else issued.expires_in
        return cookie_line(self.name, issued.access_token, max_age=age, path="/", same_site=self.same_site)


def refresh_age(issued: Issued, now: float) -> int:
    """Return for how many seconds the refresh token can be good at most: renewals move `idle` without a new cookie."""
    session = issued.session
    return max(0, (session.absolute_expires_at or session.expires_at) - int(now))


def cookie_line(name: str, token: str, *, max_age: int, path: str, same_site: str) -> str:
    """Return the value of `Set-Cookie` (RFC 6265 §4.1). Without `Domain`: for this host only."""
    return f"{name}={token}; HttpOnly; Max-Age={max_age}; Path={path}; SameSite={same_site.capitalize()}; Secure"
