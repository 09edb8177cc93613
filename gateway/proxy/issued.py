"""New tokens in the headers of an answer, where some were made on the way to it."""

from gateway.config.schema import HeaderNames
from gateway.model.request import InboundRequest

Headers = tuple[tuple[str, str], ...]


def issued_headers(request: InboundRequest, names: HeaderNames) -> Headers:
    """Return the headers that tell of new tokens: the cookie, to a client that keeps its access token in it."""
    issued = request.issued
    if issued is None:
        return ()
    if request.issued_cookie is not None:
        return (("Set-Cookie", request.issued_cookie),)
    access = (names.access_token, issued.access_token)
    return (access,) if issued.refresh_token is None else (access, (names.refresh_token, issued.refresh_token))


def with_issued(lines: bytes, request: InboundRequest, names: HeaderNames) -> bytes:
    """Return an upstream's header lines with those of new tokens, which no cache may keep.

    The upstream's own of the same names are dropped.
    """
    headers = (("Cache-Control", "no-store"), *issued_headers(request, names))
    replaced = {name.lower().encode() for name in (names.access_token, names.refresh_token, "Cache-Control", "Expires")}
    kept = [line for line in lines.splitlines(keepends=True) if line.partition(b":")[0].lower() not in replaced]
    return b"".join((*kept, *(f"{name}: {value}\r\n".encode("ascii") for name, value in headers)))
