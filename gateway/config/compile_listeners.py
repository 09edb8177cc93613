"""TLS of listeners, from the files that the settings name."""

import ssl
from dataclasses import dataclass

from cryptography import x509

from gateway.config.admin import AdminTls
from gateway.config.listeners import ListenerTls
from gateway.mechanisms.base import BadSetting, Resources

_NO_PASSWORD = ""
"""An encrypted key is a mistake. Without a word OpenSSL would ask for its password on the terminal."""


class ServerContext(ssl.SSLContext):
    """Remembers by which authorities clients are proven whose connections were made with it: as in ServerTls."""

    clients: bytes | None = None


@dataclass(frozen=True, slots=True, eq=False)
class ServerTls:
    """The TLS of a listener, ready for handshakes. `expires_at` is the end of its certificate, in Unix seconds.

    `clients` is what the authorities of clients are read from; None where no certificate of theirs is asked for.
    `names` are the host names that the certificate is for, in lower case.
    """

    context: ServerContext
    expires_at: float | None
    names: frozenset[str]
    clients: bytes | None


def listener_tls(settings: ListenerTls, resources: Resources) -> ServerTls:
    """Return the TLS. Raises BadSetting, also for a certificate and a key that do not belong together."""
    with resources.steady(settings.certificate, settings.key):
        context = _context(settings, resources)
    return ServerTls(context, *_told(resources.read(settings.certificate)), context.clients)


def _context(settings: ListenerTls, resources: Resources) -> ServerContext:
    certificate, key = resources.directory / settings.certificate, resources.directory / settings.key
    context = ServerContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if settings.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key, password=_NO_PASSWORD)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadSetting(f"{settings.key} is not the key of {settings.certificate}") from error
        message = f"{settings.certificate} holds no certificate in PEM, or {settings.key} no key without a password"
        raise BadSetting(f"{message}: {error}") from error
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_ca is not None:
        context.clients = resources.read(settings.client_ca)
        context.load_verify_locations(cadata=context.clients.decode())
        is_optional = isinstance(settings, AdminTls) and settings.client_certificates == "optional"
        context.verify_mode = ssl.CERT_OPTIONAL if is_optional else ssl.CERT_REQUIRED
    return context


def _told(chain: bytes) -> tuple[float | None, frozenset[str]]:
    """Return the end of the certificate, and its host names."""
    try:
        certificate = x509.load_pem_x509_certificate(chain)
        end = certificate.not_valid_after_utc.timestamp()
    except ValueError:  # OpenSSL takes it, which is all that counts for handshakes
        return None, frozenset()
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return end, frozenset()
    return end, frozenset(name.lower() for name in names.get_values_for_type(x509.DNSName))
