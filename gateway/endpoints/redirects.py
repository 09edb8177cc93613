"""Where a form asks to be sent afterwards: only to what the configuration lists, exactly (RFC 9700 §4.11)."""

from gateway.endpoints.context import Endpoints
from gateway.endpoints.forms import Parameters
from gateway.model.errors import MalformedGrantRequest


def requested_redirect(endpoints: Endpoints, parameters: Parameters) -> str | None:
    """Return the `redirect` parameter. Raises MalformedGrantRequest for one that is not listed."""
    target = parameters.text("redirect")
    if target is not None and target not in endpoints.settings.redirects:
        raise MalformedGrantRequest("redirect is not one of sessions.redirects")
    return target
