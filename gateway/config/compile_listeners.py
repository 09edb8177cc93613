"""TLS of listeners, from the files that the settings name."""

import ssl
from dataclasses import dataclass

from cryptography import x509

from gateway.config.schema import ListenerTls
from gateway.mechanisms.base import BadSetting, Resources

_NO_PASSWORD = ""
"""An encrypted key is a mistake. Without a word OpenSSL would ask for its password on the terminal."""


@dataclass(frozen=True, slots=True, eq=False)
class ServerTls:
    """The TLS of a listener, ready for handshakes. `expires_at` is the end of its certificate, in Unix seconds.

    `clients` is what the authorities of clients are read from; None where no certificate of theirs is asked for.
    """

    context: ssl.SSLContext
    expires_at: float | None
    clients: bytes | None


def listener_tls(settings: ListenerTls, resources: Resources) -> ServerTls:
    """Return the TLS. Raises BadSetting, also for a certificate and a key that do not belong together."""
    with resources.steady(settings.certificate, settings.key):
        context = _context(settings, resources)
    clients = None if settings.client_ca is None else resources.read(settings.client_ca)
    return ServerTls(context, _end_of(resources.read(settings.certificate)), clients)


def _end_of(certificate: bytes) -> float | None:
    try:
        return x509.load_pem_x509_certificate(certificate).not_valid_after_utc.timestamp()
    except ValueError:  # OpenSSL takes it, which is all that counts for handshakes
        return None


def _context(settings: ListenerTls, resources: Resources) -> ssl.SSLContext:
    certificate, key = resources.directory / settings.certificate, resources.directory / settings.key
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
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
        context.load_verify_locations(cadata=resources.read(settings.client_ca).decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context
