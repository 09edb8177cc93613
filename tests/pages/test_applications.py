"""The applications of the guide learn from the gateway who calls, and cannot be lied to."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from tests.pages.blocks import ROOT, titled
from tests.pages.trying import GATEWAY, PATIENCE, answer, issuer_at, minted, running
from tests.ports import free_port

PAGE = "docs/guides/applications.md"
SITE_PYTHON = ROOT / ".venv-site" / "bin" / "python"

APPLICATIONS = {
    "django/app.py": ["runserver", "--noreload", "127.0.0.1:{port}"],
    "fastapi/app.py": ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"],
}
"""Arguments of Python for each application."""

MODULES = ("express/caller.mjs", "express/app.mjs")


@pytest.mark.skipif(not SITE_PYTHON.exists(), reason="`make site` installs the frameworks")
@pytest.mark.parametrize("title", APPLICATIONS)
def test_an_application_learns_who_calls_and_cannot_be_lied_to(title: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(titled(PAGE, title))
    port = free_port()
    arguments = [each.format(port=port) for each in APPLICATIONS[title]]
    command = [str(SITE_PYTHON), *([] if arguments[0] == "-m" else ["app.py"]), *arguments]
    asked_behind_a_gateway(command, port, tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_middleware_of_express_learns_who_calls_and_cannot_be_lied_to(tmp_path: Path) -> None:
    """With the server of Node.js: Express itself is not there. Its application is only parsed."""
    for title in MODULES:
        (tmp_path / Path(title).name).write_text(titled(PAGE, title))
        subprocess.run(["node", "--check", Path(title).name], cwd=tmp_path, check=True, timeout=PATIENCE)
    port = free_port()
    (tmp_path / "server.mjs").write_text(
        'import http from "node:http";\nimport { caller } from "./caller.mjs";\n'
        "http.createServer((req, res) => {\n"
        "  req.get = (name) => req.headers[name.toLowerCase()];\n"
        "  res.sendStatus = (status) => { res.statusCode = status; res.end(); };\n"
        "  caller(req, res, () => res.end(JSON.stringify(req.caller)));\n"
        f'}}).listen({port}, "127.0.0.1");\n'
    )
    asked_behind_a_gateway(["node", "server.mjs"], port, tmp_path)


def asked_behind_a_gateway(command: list[str], port: int, at: Path) -> None:
    issuer_at(at)
    listen = free_port()
    text = titled(PAGE, "config.yaml").replace("discovery: true", "jwks_file: jwks.json")
    (at / "config.yaml").write_text(text.replace(":8000", f":{port}").replace("0.0.0.0:8080", f"127.0.0.1:{listen}"))
    token = minted(
        at, "https://id.example.com", {"sub": "alice", "aud": "https://api.example.com", "scope": "orders:read"}
    )
    url = f"http://127.0.0.1:{listen}/orders"
    with running(command, at), running([*GATEWAY, "serve", "config.yaml"], at):
        assert answer(url)[0] == 401
        lie = {"Authorization": f"Bearer {token}", "X-User": "root", "X_User": "root", "X-Scopes": "admin"}
        deadline = time.monotonic() + PATIENCE
        while (got := answer(url, lie))[0] in {502, 503, 504} and time.monotonic() < deadline:
            time.sleep(0.1)
        assert got[0] == 200, got
        assert json.loads(got[1]) == {"user": "alice", "scopes": ["orders:read"]}
        assert answer(f"http://127.0.0.1:{port}/orders")[0] == 401, "without the headers of the gateway"
