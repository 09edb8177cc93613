"""What is built from settings and files before the routes are: keys, authenticators, upstreams, TLS, logins."""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from gateway.config.compile_admin import AdminFiles, build_admin_files
from gateway.config.compile_listeners import ServerTls, listener_tls
from gateway.config.compile_sessions import SessionParts, build_session_parts, own_tokens
from gateway.config.compile_upstreams import UpstreamSpec, upstream_spec
from gateway.config.mistakes import SettingPath
from gateway.config.reuse import Built, Closeable, Workshop
from gateway.config.schema import Config
from gateway.mechanisms.authenticators import AuthenticatorSettings
from gateway.mechanisms.authenticators.issued import IssuedSettings
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator
from gateway.mechanisms.base import BadSetting, Resources
from gateway.mechanisms.fetch import control_tls
from gateway.model.upstream import Address
from gateway.telemetry.trace_settings import MISSING, Headers, TraceSettings, is_possible, read_headers
from gateway.tokens.own_keys import OwnKeys
from gateway.tokens.signing import SigningKey, UnusableKey, public_jwk, signing_key


@dataclass(slots=True)
class Collected:
    """Mistakes, as they are found: (path, message) pairs."""

    found: list[tuple[SettingPath, str]] = field(default_factory=list)

    @contextmanager
    def at(self, *path: str | int) -> Iterator[None]:
        """Collect what goes wrong while the setting at `path` is built."""
        try:
            yield
        except BadSetting as error:
            self.found.append(((*path, *error.path), str(error)))
        except (UnusableKey, ssl.SSLError, ValueError, OSError) as error:
            self.found.append((path, str(error)))


@dataclass(slots=True)
class Parts:
    """The parts of one configuration. `workshop.resources` are what they were built with."""

    workshop: Workshop
    identity_key: SigningKey | None = None
    identity_jwks: tuple[Mapping[str, Any], ...] = ()
    admin: AdminFiles | None = None
    trace_headers: Headers = ()
    authenticators: dict[str, JwtAuthenticator] = field(default_factory=dict)
    upstreams: dict[str, UpstreamSpec] = field(default_factory=dict)
    listener_tls: dict[Address, ServerTls] = field(default_factory=dict)
    sessions: SessionParts | None = None

    def discard(self) -> None:
        """Let go of what nobody will use."""
        for part in self.workshop.new_parts():
            if isinstance(part, Closeable):
                part.close()


def build_parts(
    config: Config,
    resources: Resources,
    mistakes: Collected,
    former: Mapping[SettingPath, Built],
    keys: OwnKeys | None = None,
) -> Parts:
    """Return the parts; some may be missing where there are mistakes.

    `former` are parts to take over where they would be the same, and `keys` our own as they are kept.
    """
    resources = replace(resources, insecure=frozenset(config.insecure), own=None)
    parts = Parts(Workshop(resources, former))
    if config.sessions is not None:
        with mistakes.at("sessions"):
            resources.own = own_tokens(config.sessions, resources, keys)
        parts.sessions = build_session_parts(config.sessions, parts.workshop, mistakes.at)
    _build_secrets(config, parts, mistakes)
    _build_authenticators(config, parts, mistakes)
    _build_tls(config, parts, mistakes)
    return parts


def _build_secrets(config: Config, parts: Parts, mistakes: Collected) -> None:
    resources = parts.workshop.resources
    if config.identity is not None:
        with mistakes.at("identity", "key_file"):
            parts.identity_key = signing_key(resources.read(config.identity.key_file))
            parts.identity_jwks = (parts.identity_key.jwk,)
        for index, file in enumerate(config.identity.other_keys):
            with mistakes.at("identity", "other_keys", index):
                parts.identity_jwks += (public_jwk(resources.read(file)),)
    if config.admin is not None:
        parts.admin = build_admin_files(config.admin, parts.workshop, mistakes.at)
    if config.traces is not None:
        _build_traces(config.traces, parts, mistakes)


def _build_traces(settings: TraceSettings, parts: Parts, mistakes: Collected) -> None:
    resources = parts.workshop.resources
    if not is_possible():
        mistakes.found.append((("traces",), MISSING))
    if settings.headers_file is not None:
        with mistakes.at("traces", "headers_file"):
            parts.trace_headers = read_headers(resources.read(settings.headers_file))
    if settings.ca is not None:
        with mistakes.at("traces", "ca"), resources.steady(settings.ca):
            control_tls(resources.directory / settings.ca)


def _build_tls(config: Config, parts: Parts, mistakes: Collected) -> None:
    workshop, resources = parts.workshop, parts.workshop.resources
    if config.fetch.ca is not None:
        with mistakes.at("fetch", "ca"), resources.steady(config.fetch.ca):
            control_tls(resources.directory / config.fetch.ca)
    for name, upstream in config.upstreams.items():
        with mistakes.at("upstreams", name, "tls"):
            build_spec = partial(upstream_spec, name, upstream, resources)
            parts.upstreams[name] = workshop.part(("upstreams", name), upstream, build_spec)
    for index, listener in enumerate(config.listen):
        if listener.tls is not None:
            with mistakes.at("listen", index, "tls"):
                build_tls = partial(listener_tls, listener.tls, resources)
                place = "listen", str(listener.address)
                parts.listener_tls[listener.address] = workshop.part(place, listener.tls, build_tls)


def _build_authenticators(config: Config, parts: Parts, mistakes: Collected) -> None:
    for name, settings in config.authenticators.items():
        is_ours = isinstance(settings, IssuedSettings) and config.sessions is not None
        if is_ours and parts.workshop.resources.own is None:
            continue  # what is wrong with the sessions has been told
        with mistakes.at("authenticators", name):
            parts.authenticators[name] = _authenticator(name, settings, parts.workshop)


def _authenticator(name: str, settings: AuthenticatorSettings, workshop: Workshop) -> JwtAuthenticator:
    """Return the former authenticator where nothing it depends on has changed, else a new one.

    What the former remembers of tokens was verified under its settings. What it has fetched is another matter.
    """
    resources, place = workshop.resources, ("authenticators", name)
    depends_on: object = resources.own if isinstance(settings, IssuedSettings) else resources.fetch
    context = resources.insecure, depends_on

    def build() -> JwtAuthenticator:
        return settings.build(name, resources)

    authenticator = workshop.part(place, settings, build, *context)
    former = workshop.former_part(place, *context)
    if isinstance(former, JwtAuthenticator) and former is not authenticator:
        authenticator.inherit(former)
    return authenticator
