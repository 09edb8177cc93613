"""What pages of other sites make a browser send, with whatever the browser adds by itself.

A token in `Authorization` is nothing that a browser adds; a client certificate is, and so is being on the same host.
"""

from collections.abc import Collection
from ipaddress import ip_address

from gateway.model.errors import CrossSiteRequest
from gateway.model.request import InboundRequest


def require_own_page(request: InboundRequest) -> None:
    """Refuse what another site's page has sent. Programs send none of these headers, and pass.

    `Origin` may be https where we are not: then something before us ends TLS, under the same name. Raises
    CrossSiteRequest; AmbiguousHeader and AmbiguousHost for headers that browsers do not send.
    """
    site = request.one(b"sec-fetch-site")
    if site not in (None, b"same-origin", b"none"):
        raise CrossSiteRequest("Sec-Fetch-Site says so")
    origin = request.one(b"origin")
    if origin is None:
        return
    host = b"" if request.host is None else request.host.text
    if origin.lower() not in {b"https://" + host} | (set() if request.secure else {b"http://" + host}):
        raise CrossSiteRequest("Origin is not where the request went")


def require_own_name(request: InboundRequest, names: Collection[str]) -> None:
    """Refuse what a page has sent that was loaded under a name of its own, which then led here (DNS rebinding).

    `names` are the host names that are ours. A number is nobody's name, and `localhost` is this host's. Raises
    CrossSiteRequest; AmbiguousHeader and AmbiguousHost.
    """
    name = "" if request.host is None else request.host.name
    if name in names or name == "localhost" or _is_number(name.strip("[]")):
        return
    if "*." + name.partition(".")[2] in names:
        return
    raise CrossSiteRequest("Host is no name of the certificate of this listener")


def _is_number(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
