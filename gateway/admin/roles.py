"""What somebody may do: look, or also change things. Each route says what it takes.

web.get(path, handler)              the role write: so does a route of which nothing is said
readable(web.get(path, handler))    the role read
public(web.get(path, handler))      nobody is asked who they are: for what tells nothing about a gateway
"""

from dataclasses import dataclass
from typing import Final, Literal

from aiohttp import web
from aiohttp.typedefs import Handler

Role = Literal["read", "write"]

_MARK: Final = "needed_role"


@dataclass(frozen=True, slots=True)
class Actor:
    """Who is calling. `name` is for the audit log. The role `write` includes `read`."""

    name: str
    role: Role


def readable(route: web.RouteDef) -> web.RouteDef:
    """Return the route for everybody who may look. It changes nothing."""
    return _marked(route, "read")


def public(route: web.RouteDef) -> web.RouteDef:
    """Return the route for everybody who comes."""
    return _marked(route, None)


def needed_role(handler: Handler) -> Role | None:
    """Return the role that a handler of the route table is for; None for everybody."""
    role: Role | None = getattr(handler, _MARK, "write")
    return role


def _marked(route: web.RouteDef, role: Role | None) -> web.RouteDef:
    async def handler(request: web.Request) -> web.StreamResponse:
        answer: web.StreamResponse = await route.handler(request)
        return answer

    setattr(handler, _MARK, role)
    return web.RouteDef(route.method, route.path, handler, route.kwargs)
