"""The lines that `gateway demo` prints: what to paste, and what it shows."""

import contextlib
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from gateway.model.upstream import Address


def to_try(
    config: Path, directory: Path, gateway: Address, ops: Address, admin: Address, password: str
) -> Iterator[str]:
    """Yield what to paste into a shell in the current directory. `password` is that of alice."""
    orders, place = f"http://{gateway}/api/orders", shlex.quote(str(directory))
    command = f". {_sourced(place)}/environment; {_program()}"
    setting = f"--config {shlex.quote(_near(config))}"
    yield f"""
The gateway listens on http://{gateway}, before a sample upstream that answers with what it gets.
Its configuration is {_near(config)}; keys, tokens and sessions are in {directory}.
Paste these lines into another terminal, in the same directory:"""
    yield from _with_tokens_of_an_issuer(orders, place)
    yield from _with_a_session(gateway, place, password, f"({command} sessions list {setting} --subject alice)")
    yield f"""
200: health and metrics, on an address of their own
  curl -i http://{ops}/readyz
  curl -i http://{ops}/metrics

Why was the expired token refused?
  ({command} explain {setting} --url {orders} --token - < {place}/expired.token)

See who is in, and why someone is not: the console, in a browser. Sign in with the token in {place}/admin-token.
  http://{admin}/admin/
The same in a terminal
  {_program()} tail --admin http://{admin} --token-file {place}/admin-token

Ctrl-C stops it.
"""


def _with_tokens_of_an_issuer(orders: str, directory: str) -> Iterator[str]:
    yield f"""
200: Alice may read. The upstream learns who she is, and never sees the forged X-User.
  curl -i -H "X-User: root" -H "Authorization: Bearer $(cat {directory}/alice.token)" {orders}

401: no token
  curl -i {orders}

401: an expired token
  curl -i -H "Authorization: Bearer $(cat {directory}/expired.token)" {orders}

403: Bob may read, but not write.
  curl -i -X POST -H "Authorization: Bearer $(cat {directory}/bob.token)" {orders}"""


def _with_a_session(gateway: Address, directory: str, password: str, listing: str) -> Iterator[str]:
    here = f"http://{gateway}"
    access, refresh = (
        f"$(sh {directory}/field {name} < {directory}/alice.session)" for name in ("access_token", "refresh_token")
    )
    exchange = f'curl -i -d grant_type=refresh_token -d client_id=web -d "refresh_token={refresh}" {here}/oauth/token'
    yield f"""
200: Alice logs in at the gateway itself: an access token and a refresh token, kept for the next lines.
  curl -i -s -d username=alice -d password={password} {here}/auth/login | tee {directory}/alice.session

200: with her access token
  curl -i -H "Authorization: Bearer {access}" {here}/api/orders

200: Her refresh token brings a new pair.
  {exchange}

200: The same again, as after a lost answer or from another tab: the same pair, not another one.
  {exchange}

Who is logged in?
  {listing}

204: She logs out.
  curl -i -d "refresh_token={refresh}" {here}/auth/logout

401: Her access token is revoked, everywhere.
  curl -i -H "Authorization: Bearer {access}" {here}/api/orders"""


def _near(file: Path) -> str:
    """Return a file's name as short as it can be written from here."""
    with contextlib.suppress(ValueError):
        return str(file.relative_to(Path.cwd()))
    return str(file)


def _sourced(directory: str) -> str:
    """Return a path that the shell does not look for in PATH."""
    return directory if "/" in directory else f"./{directory}"


def _program() -> str:
    """Return what another shell in this directory calls this program: no virtual environment needs to be active."""
    program = Path(sys.argv[0])
    if program.name == "__main__.py":
        return f"{shlex.quote(_near(Path(sys.executable)))} -m gateway"
    is_everywhere = sys.prefix == sys.base_prefix and shutil.which(program.name) is not None
    return program.name if is_everywhere else shlex.quote(_near(program))
