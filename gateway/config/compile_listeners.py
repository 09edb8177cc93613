"""TLS of listeners, from the files that the settings name."""

import ssl

from gateway.config.schema import Listener
from gateway.mechanisms.base import Resources


def listener_tls(listener: Listener, resources: Resources) -> ssl.SSLContext:
    assert listener.tls is not None
    settings = listener.tls
    certificate, key = resources.directory / settings.certificate, resources.directory / settings.key
    for file in (settings.certificate, settings.key):
        resources.read(file)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3 if settings.min_version == "1.3" else ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(certificate, key)
    context.set_alpn_protocols(["http/1.1"])
    if settings.client_ca is not None:
        context.load_verify_locations(cadata=resources.read(settings.client_ca).decode())
        context.verify_mode = ssl.CERT_REQUIRED
    return context
