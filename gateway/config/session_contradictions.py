"""Settings of sessions that need others, or a weakness that must be accepted by name."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from gateway.config.draft import Draft
from gateway.config.mistakes import SettingPath
from gateway.mechanisms.authenticators.jwt import JwtSettings
from gateway.model.host import is_loopback

Contradiction = tuple[SettingPath, str]


def sessions_without_state(draft: Draft) -> Iterator[Contradiction]:
    if draft.config.sessions is not None and draft.config.state is None and "state" not in draft.broken:
        yield ("sessions",), "sessions are kept somewhere: configure state, for example {url: sqlite:state/gateway.db}"


def insecure_session_issuer(draft: Draft) -> Iterator[Contradiction]:
    sessions = draft.config.sessions
    if sessions is None or "http_issuer" in draft.config.insecure or "insecure" in draft.broken:
        return
    if sessions.issuer.startswith("http:"):
        message = "anybody could pose as the issuer; write https://, or accept it: insecure: [http_issuer]"
        yield ("sessions", "issuer"), message


def own_tokens_taken_for_anothers(draft: Draft) -> Iterator[Contradiction]:
    """Only of our own tokens the session is known: taken for those of another issuer, they would outlive a logout."""
    sessions = draft.config.sessions
    if sessions is None:
        return
    for name, settings in draft.config.authenticators.items():
        if isinstance(settings, JwtSettings) and settings.issuer == sessions.issuer:
            message = (
                f"{settings.issuer} is the gateway itself, whose tokens end with their session; write type: issued"
            )
            yield ("authenticators", name, "issuer"), message


def insecure_alarm(draft: Draft) -> Iterator[Contradiction]:
    alarm = None if draft.config.sessions is None else draft.config.sessions.alarm
    if alarm is None or "http_alarm" in draft.config.insecure or "insecure" in draft.broken:
        return
    url = urlsplit(alarm.url)
    if url.scheme == "http" and not is_loopback(url.hostname or ""):
        message = "anybody on the way could read alarms; write https://, or accept it: insecure: [http_alarm]"
        yield ("sessions", "alarm", "url"), message
