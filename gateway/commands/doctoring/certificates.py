"""When the certificates end that the configuration names."""

from datetime import UTC, datetime
from typing import Final

from cryptography import x509

from gateway.commands.doctoring.files import CERTIFICATES, named_files
from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, problem
from gateway.config.mistakes import shown_path
from gateway.mechanisms.files import bounded_content

_SOON: Final = 21
"""Days. Those that are replaced by a program are replaced earlier: who sees this has none, or one that does not run."""
_MOST: Final = 4 * 1024 * 1024
"""Bytes: all authorities of a system are a quarter of a megabyte."""


def certificates(patient: Patient) -> list[Finding]:
    found = []
    for path, file in named_files(patient):
        if path[-1] not in CERTIFICATES:  # of a pem_file only the key counts, and not the dates around it
            continue
        try:
            read = x509.load_pem_x509_certificates(bounded_content(patient.directory / file, _MOST))
        except (OSError, ValueError):
            continue  # the check of the configuration tells
        first = min(read, key=lambda certificate: certificate.not_valid_after_utc)
        found.append(judged("certificates", f"{shown_path(path)} ({file})", first, patient.clock()))
    return found


def judged(finding: str, name: str, certificate: x509.Certificate, now: float) -> Finding:
    """Return whether a certificate is good now, and for long enough."""
    moment = datetime.fromtimestamp(now, UTC)
    days = (certificate.not_valid_after_utc - moment).total_seconds() / 86400
    if days <= 0:
        says = f"{name}: the certificate ended on {certificate.not_valid_after_utc:%Y-%m-%d}"
        return problem(finding, says, "replace it, and see why nobody did before")
    if certificate.not_valid_before_utc > moment:
        says = f"{name}: the certificate begins on {certificate.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
        return problem(finding, says, "look at the clock of this host, and of the authority")
    says = f"{name}: the certificate is good for {days:.0f} days"
    return advice(finding, says, "replace it now") if days < _SOON else fine(finding, says)
