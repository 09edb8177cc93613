"""What is not loaded, where it is not needed: a tenth of a second and several MiB each."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.minting import jwks, make_key

ROOT = Path(__file__).parents[2]


def loaded_by(code: str, *words: str) -> set[str]:
    """Return the modules that a new process has loaded after running this."""
    told = "; import sys; print(*sys.modules)"
    command = [sys.executable, "-c", code + told, *words]
    return set(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split())


def test_the_parent_of_workers_loads_nothing_that_handles_requests() -> None:
    modules = loaded_by("import gateway.commands.parent")
    assert not modules & {"aiohttp", "pydantic", "yaml", "cryptography", "jwt", "redis", "sqlite3"}
    assert not [name for name in modules if name.startswith(("gateway.config", "gateway.engine", "gateway.mechanisms"))]


@pytest.mark.parametrize("keys", ["jwks_file: keys.json", "jwks_uri: 'https://issuer.example/jwks'"])
def test_the_http_library_is_loaded_before_the_start_where_something_is_fetched(tmp_path: Path, keys: str) -> None:
    (tmp_path / "keys.json").write_bytes(jwks(make_key("ES256", "key")))
    issuer = f"{{type: jwt, issuer: 'https://issuer.example', audiences: [api], {keys}}}"
    (tmp_path / "config.yaml").write_text(
        "listen: [{address: 127.0.0.1:0}]\nops: {address: 127.0.0.1:0}\n"
        f"authenticators: {{issuer: {issuer}}}\nupstreams: {{app: {{targets: ['http://127.0.0.1:9']}}}}\n"
        "routes: [{id: all, match: {path: /**}, upstream: app}]\n"
    )
    make = (
        "import sys, gateway.commands.serve; from pathlib import Path; from gateway.app import Gateway;"
        "from gateway.config.load import load_config; file = Path(sys.argv[1]);"
        "Gateway(load_config(file, {}).config, file.parent)"
    )
    modules = loaded_by(make, str(tmp_path / "config.yaml"))
    assert ("aiohttp" in modules) == ("jwks_uri" in keys)
    assert not modules & {"redis", "sqlite3", "argon2", "gateway.endpoints.app", "gateway.admin.app"}
