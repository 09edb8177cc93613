"""The key sets of issuers: whether they can be had, and hold keys that the configuration takes."""

import asyncio
import time
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import urlsplit

from gateway.commands.doctoring.finding import Finding, Patient, advice, fine, problem
from gateway.mechanisms.authenticators.jwt import JwtSettings, key_fetch
from gateway.mechanisms.base import BadSetting, Fetch, FetchFailed
from gateway.mechanisms.fetch import control_tls
from gateway.tokens.key_documents import BadKey, KeyRules, read_jwks
from gateway.tokens.remote_keys import MAX_DOCUMENT, SourceFailed

_TO_REACH: Final = "see that this host can reach it (DNS, firewall, proxy), and trusts its certificate (fetch.ca)"
CLOCK_OFF: Final = 2.0
"""Seconds. Less cannot be told from a `Date`, which counts whole seconds, and the time on the way."""


async def key_sets(patient: Patient) -> list[Finding]:
    client = patient.config.fetch.client(patient.directory)
    try:
        names = _remote(patient)
        return list(await asyncio.gather(*(_of(name, each, patient, client.fetch) for name, each in names)))
    finally:
        await client.close()


async def _of(name: str, settings: JwtSettings, patient: Patient, fetch: Fetch) -> Finding:
    weak = "weak_rsa_key" in patient.config.insecure
    try:
        uri = await settings.location(patient.config.insecure).jwks_uri(key_fetch(fetch))
        keys, problems = read_jwks(await fetch(uri, MAX_DOCUMENT), KeyRules(symmetric=False, weak_rsa=weak))
    except (SourceFailed, FetchFailed, BadSetting) as error:
        return problem("key_sets", f"authenticators.{name}: its keys cannot be had: {error}", _TO_REACH)
    except BadKey as error:
        says = f"authenticators.{name}: {shown(uri)} is {error}"
        return problem("key_sets", says, "see that the setting names the issuer's JWK set")
    usable = [key for key in keys.keys if key.algorithms & set(settings.algorithms)]
    says = f"authenticators.{name}: {len(usable)} of {len(keys.keys) + len(problems)} keys are for its algorithms"
    if not usable:
        offered = sorted({each for key in keys.keys for each in key.algorithms})
        says += f"; the issuer's are for {', '.join(offered) or 'none that is known'}"
        return problem("key_sets", says, "name an algorithm of the issuer's keys in algorithms")
    if problems:
        return advice("key_sets", f"{says}; {problems[0]}", "ask the issuer to take the bad keys out")
    return fine("key_sets", says)


async def issuer_clock(patient: Patient) -> list[Finding]:
    """Tokens are judged by this host's clock, and were made by the issuer's."""
    found = []
    for name, settings in _remote(patient):
        url = settings.jwks_uri or f"{settings.issuer.removesuffix('/')}/.well-known/openid-configuration"
        difference = await _difference(url, patient)
        if difference is None:
            continue
        says = f"the clocks of this host and of the issuer of authenticators.{name} differ by {abs(difference):.0f} s"
        if abs(difference) <= CLOCK_OFF:
            found.append(fine("issuer_clock", says))
        else:
            make = problem if abs(difference) > settings.leeway else advice
            to_do = f"run a time service on this host; tokens may be off by {settings.leeway:g} s (leeway)"
            found.append(make("issuer_clock", says, to_do))
    return found


async def _difference(url: str, patient: Patient) -> float | None:
    """Return by how many seconds this host is ahead; None where nobody says."""
    import aiohttp

    fetch = patient.config.fetch
    ca = None if fetch.ca is None else patient.directory / fetch.ca
    try:
        connector = aiohttp.TCPConnector(ssl=control_tls(ca))
        timeout = aiohttp.ClientTimeout(total=fetch.timeout)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            began = time.monotonic()
            async with session.get(url, allow_redirects=False) as answer:
                now, half = patient.clock(), (time.monotonic() - began) / 2
                then = parsedate_to_datetime(answer.headers["Date"]).timestamp()
    except (aiohttp.ClientError, TimeoutError, OSError, KeyError, ValueError, BadSetting):
        return None
    return now - half - (then + 0.5)


def _remote(patient: Patient) -> list[tuple[str, JwtSettings]]:
    every = patient.config.authenticators.items()
    return [(name, e) for name, e in every if isinstance(e, JwtSettings) and (e.discovery or e.jwks_uri is not None)]


def shown(url: str) -> str:
    """Return a URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
