"""What a configuration becomes: everything a request needs, made once."""

from collections.abc import Mapping
from typing import Any, Final

from gateway.config.compile_admin import AdminFiles
from gateway.config.compile_listeners import ServerTls
from gateway.config.compile_sessions import SessionParts
from gateway.config.compile_upstreams import UpstreamSpec
from gateway.config.mistakes import SettingPath
from gateway.config.reuse import Built
from gateway.config.schema import Config
from gateway.engine.answer_contract import AnswerContract
from gateway.engine.cors import CorsPolicy
from gateway.engine.forwarding import Forwarding
from gateway.engine.gatekeeper import Gatekeeper
from gateway.engine.headers import HeaderContract
from gateway.engine.routes import RouteTable
from gateway.engine.sessions import SessionService
from gateway.mechanisms.authenticators.jwt import JwtAuthenticator
from gateway.mechanisms.base import Job, OwnTokens
from gateway.mechanisms.files import Digests
from gateway.model.faces import Challenge
from gateway.model.upstream import Address
from gateway.telemetry.trace_settings import Headers


class Snapshot:
    """One ready configuration. A request takes one at the door and uses no other."""

    def __init__(
        self,
        *,
        config: Config,
        gatekeeper: Gatekeeper,
        routes: RouteTable,
        contract: HeaderContract,
        answers: AnswerContract,
        forwarding: Forwarding,
        challenge: Challenge,
        cors: CorsPolicy | None,
        authenticators: Mapping[str, JwtAuthenticator],
        upstreams: Mapping[str, UpstreamSpec],
        listener_tls: Mapping[Address, ServerTls],
        identity_jwks: tuple[Mapping[str, Any], ...],
        own: OwnTokens | None,
        sessions: SessionService | None,
        session_parts: SessionParts | None,
        admin: AdminFiles | None,
        trace_headers: Headers,
        built: Mapping[SettingPath, Built],
        files: Digests,
    ) -> None:
        self.config: Final = config
        self.gatekeeper: Final = gatekeeper
        self.routes: Final = routes
        self.contract: Final = contract
        self.answers: Final = answers
        self.forwarding: Final = forwarding
        self.challenge: Final = challenge
        self.cors: Final = cors
        self.authenticators: Final = authenticators
        self.upstreams: Final = upstreams
        self.listener_tls: Final = listener_tls
        self.identity_jwks: Final = identity_jwks
        self.own: Final = own
        self.sessions: Final = sessions
        self.session_parts: Final = session_parts
        """What the endpoints for sessions and the alarms are made of."""
        self.admin: Final = admin
        """Tokens and TLS of the admin API."""
        self.trace_headers: Final = trace_headers
        """For the receiver of traces. They may be secret."""
        self.built: Final = built
        """What the next Snapshot may take over."""
        self.files: Final = files
        """What it was made from: a digest of every file that was read."""

    @property
    def server_tls(self) -> list[tuple[str, ServerTls]]:
        """The TLS of each address that has any, of the admin API too."""
        found = [(str(address), tls) for address, tls in self.listener_tls.items()]
        if self.config.admin is not None and self.admin is not None and self.admin.tls is not None:
            found.append((str(self.config.admin.address), self.admin.tls))
        return found

    @property
    def jobs(self) -> dict[str, Job]:
        """The work in the background that the parts need, by name."""
        return {f"keys of {name}": each.job for name, each in self.authenticators.items() if each.job is not None}
