"""The section `admin`: where the admin API is, and who may use it for what."""

import re
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from gateway.config.listeners import ListenAddress, ListenerTls
from gateway.config.names import Name
from gateway.mechanisms.policies import PolicySettings
from gateway.model.settings import FilePath, Seconds, Settings
from gateway.model.upstream import Address
from gateway.state.rate_limit import RateLimit
from gateway.telemetry.decision_settings import DecisionSettings

_CERTIFICATE = re.compile(r"(?:DNS|URI|email|CN):[ -~]*[!-~]")


def _certificate_name(value: str) -> str:
    if not _CERTIFICATE.fullmatch(value):
        raise ValueError(
            "names no certificate; write what it holds, and where: DNS:alice.ops.example, "
            "URI:spiffe://ops.example/alice, email:alice@example.com or CN:alice"
        )
    return "DNS:" + value[4:].lower() if value.startswith("DNS:") else value


CertificateName = Annotated[str, AfterValidator(_certificate_name)]
"""`DNS:…`, `URI:…` or `email:…` as OpenSSL prints subject alternative names, or `CN:…`."""


class AdminTls(ListenerTls):
    """TLS of the admin API. Files are PEM."""

    client_ca: FilePath | None = None
    """Certificate authorities of operators. Name those in `certificates` who need no token."""
    client_certificates: Literal["required", "optional"] = "required"
    """With `client_ca`. `required`: nobody connects without a certificate. `optional`: who has none needs a token."""


class AdminRateLimit(Settings):
    """How many requests of one address the admin API takes in what time, wrong tokens included; beyond that they are
    refused (429). Each worker counts alone."""

    requests: Annotated[int, Field(ge=1, le=1_000_000)] = 1200
    """How many may pass in the time `per`, spread evenly."""
    per: Annotated[Seconds, Field(ge=0.001, le=86400)] = 60
    """The time: `1s`, `1m`, `1h`."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """How many may pass at once after a pause; as many as `requests` if not set."""

    def build(self) -> RateLimit:
        """Return the limit. Its name is the same as long as what it limits is."""
        burst = self.burst or self.requests
        name = f"gateway:admin {self.requests} {self.per!r} {burst}"
        return RateLimit(name, "client_address", self.requests, self.per, burst)


class AdminRead(Settings):
    """Who may look, and change nothing."""

    token_file: FilePath | None = None
    """A file with secret tokens like that of `admin.token_file`; none of them is in both."""
    require: tuple[PolicySettings, ...] = ()
    """What must hold of those for whom `admin.authenticators` vouch: all of it."""
    certificates: tuple[CertificateName, ...] = ()
    """Certificates of operators, named as in `admin.certificates`."""

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if not (self.token_file or self.require or self.certificates):
            raise ValueError("needs token_file, require or certificates: nobody could use it")
        return self


class Admin(Settings):
    """The admin API, on an address of its own. Somebody must be able to use it: `token_file`, `authenticators` or
    `certificates` say who may change things (the role `write`, which includes `read`), `read` who may only look."""

    address: ListenAddress = Address("127.0.0.1", 9091)
    """`127.0.0.1:9091` or `unix:/run/gateway-admin.sock`."""
    tls: AdminTls | None = None
    """TLS; plain HTTP without it."""
    token_file: FilePath | None = None
    """A file with a secret token of at least 32 characters, for `Authorization: Bearer`; or several, one a line."""
    authenticators: Annotated[tuple[Name, ...], Field(min_length=1)] | None = None
    """Who may vouch for an operator; then `require` says what makes one, and `read.require` what one who may look."""
    require: tuple[PolicySettings, ...] = ()
    """What must hold of an operator beside a valid token: all of it. Without it, no such token has the role `write`."""
    certificates: tuple[CertificateName, ...] = ()
    """Certificates of operators, by a name that each holds: `DNS:alice.ops.example`, `URI:spiffe://ops.example/alice`,
    `email:alice@example.com`, or `CN:alice`. They need no token, and `tls.client_ca`."""
    read: AdminRead | None = None
    """Who may look, and change nothing."""
    rate_limit: AdminRateLimit = AdminRateLimit()
    """How often one address may ask."""
    decisions: DecisionSettings = DecisionSettings()
    """The latest decisions, kept to be looked at."""

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if not (self.token_file or self.authenticators or self.certificates or self.read):
            raise ValueError("needs token_file, authenticators, certificates or read: nobody could use it")
        wanted = self.require or (self.read is not None and self.read.require)
        if self.authenticators is not None and not wanted:
            raise ValueError("without require, every caller with a valid token would be an operator")
        if self.authenticators is None and wanted:
            raise ValueError("require goes with authenticators")
        return self

    @model_validator(mode="after")
    def _certificates_are_proven(self) -> Self:
        named = (*self.certificates, *(() if self.read is None else self.read.certificates))
        if named and (self.tls is None or self.tls.client_ca is None):
            raise ValueError("certificates prove somebody only with tls.client_ca, which says who issues them")
        if twice := sorted({each for each in named if named.count(each) > 1}):
            raise ValueError(f"{twice[0]} is named twice: it has one role, and write includes read")
        if self.tls is not None and self.tls.client_ca is None and "client_certificates" in self.tls.model_fields_set:
            raise ValueError("tls.client_certificates goes with tls.client_ca")
        return self
