"""The logout endpoint: ends this session, or all sessions of the user. Whoever is logged out already is so again."""

from aiohttp import web

from gateway.endpoints.answers import NO_STORE, clear_cookies, see_other
from gateway.endpoints.context import Endpoints
from gateway.endpoints.cross_site import is_foreign
from gateway.endpoints.forms import read_any
from gateway.endpoints.presented import PresentedTokens, presented_tokens
from gateway.endpoints.redirects import requested_redirect
from gateway.model.errors import InvalidToken, StoreUnavailable
from gateway.model.session import EndReason


async def logout(endpoints: Endpoints, request: web.Request) -> web.Response:
    parameters = await read_any(request)
    redirect = requested_redirect(endpoints, parameters)
    tokens = presented_tokens(endpoints, request, parameters)
    if parameters.is_set("all"):
        await _end_all(endpoints, tokens)
    else:
        await _end_one(endpoints, tokens)
    response = web.Response(status=204, headers=NO_STORE) if redirect is None else see_other(redirect)
    if not is_foreign(request, endpoints.settings.cookies.origins):
        clear_cookies(endpoints, response)
    return response


async def _end_one(endpoints: Endpoints, tokens: PresentedTokens) -> None:
    """End the session of either token: of a refresh token of any generation, of an access token even if expired."""
    failure: StoreUnavailable | None = None
    for sid in {await _session_of_refresh(endpoints, tokens), _session_of_access(endpoints, tokens)} - {None}:
        assert sid is not None
        try:
            await endpoints.service.end(sid, EndReason.LOGOUT)
        except StoreUnavailable as error:
            failure = error
    if failure is not None:
        raise failure


async def _end_all(endpoints: Endpoints, tokens: PresentedTokens) -> None:
    """End all sessions of the user, if one of the tokens is still good. An old one ends only its own session."""
    subject = await _subject(endpoints, tokens)
    if subject is not None:
        await endpoints.service.end_subject(subject, EndReason.LOGOUT_ALL)
        return
    await _end_one(endpoints, tokens)
    if endpoints.view.has_unconfirmed():
        raise StoreUnavailable("what was ended here before is not confirmed yet")


async def _session_of_refresh(endpoints: Endpoints, tokens: PresentedTokens) -> str | None:
    """Return the session. While the store cannot say whether the MAC fits, the checksum is proof enough to end it."""
    if tokens.refresh is None:
        return None
    try:
        session = await endpoints.service.session_of(tokens.refresh)
    except StoreUnavailable:
        return endpoints.service.read(tokens.refresh).sid
    return None if session is None else session.sid


def _session_of_access(endpoints: Endpoints, tokens: PresentedTokens) -> str | None:
    if tokens.access is None:
        return None
    try:
        return str(endpoints.service.own_claims(tokens.access, endpoints.clock(), expired=True)["sid"])
    except InvalidToken:
        return None


async def _subject(endpoints: Endpoints, tokens: PresentedTokens) -> str | None:
    if tokens.refresh is not None:
        session = await endpoints.service.usable_session(tokens.refresh)
        if session is not None:
            return session.subject
    if tokens.access is not None:
        try:
            holder = endpoints.holder(tokens.access)
        except InvalidToken:
            return None
        return None if endpoints.view.is_revoked(holder) else holder.subject
    return None
