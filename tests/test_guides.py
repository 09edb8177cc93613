"""What stands in the quick start and in the guides works: it is run, or the page says why not."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from gateway.cli import main
from tests.ports import free_port

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [DOCS / "index.md", DOCS / "quick-start.md", DOCS / "concepts.md", *sorted((DOCS / "guides").glob("*.md"))]
SITE_PYTHON = ROOT / ".venv-site" / "bin" / "python"
FENCE = re.compile(
    r"(?m)^(?:<!-- not run: (?P<reason>.+) -->\n)?"
    r"```(?P<language>\w*)(?: title=\"(?P<title>[^\"]+)\")?\n(?P<text>(?s:.*?))^```$"
)
GATEWAY = [sys.executable, "-m", "gateway"]

NOT_RUN = {"quick-start.md": 1, "from-oauth2-proxy.md": 1, "from-oathkeeper.md": 1, "sidecar.md": 1}
"""How many blocks of each page cannot be tried. Each says why."""

AROUND = """
listen: [{address: "127.0.0.1:8080"}]
authenticators: {main: {type: jwt, issuer: "https://id.example.com", audiences: [api], jwks_file: jwks.json}}
upstreams: {app: {targets: ["http://127.0.0.1:8000"]}}
routes: [{id: all, match: {path: "/**"}, upstream: app}]
"""
"""What a configuration on a page may leave out."""


@dataclass(frozen=True, slots=True)
class Block:
    page: str
    language: str
    title: str
    text: str
    reason: str


def blocks(*languages: str) -> list[Block]:
    return [block for page in PAGES for block in blocks_of(page) if not block.reason and block.language in languages]


def blocks_of(page: Path) -> Iterator[Block]:
    for found in FENCE.finditer(page.read_text()):
        yield Block(page.name, found["language"], found["title"] or "", found["text"], found["reason"] or "")


def block(page: str, title: str) -> str:
    (found,) = [
        each.text for each in blocks("yaml", "json", "python", "js") if (each.page, each.title) == (page, title)
    ]
    return found


def test_every_block_is_tried_or_says_why_not() -> None:
    """Whatever its language."""
    every = [block for page in PAGES for block in blocks_of(page)]
    assert len(every) * 2 == sum(len(re.findall(r"(?m)^ *```", page.read_text())) for page in PAGES)
    assert Counter(block.page for block in every if block.reason) == NOT_RUN
    untried = [
        (block.page, block.language, block.title)
        for block in every
        if not block.reason
        and block.language != "yaml"
        and (block.page, block.language) not in {("quick-start.md", "sh"), ("quick-start.md", "console")}
        and (block.page, block.title) not in {*APPLICATIONS, *MODULES, *CLAIMS}
    ]
    assert untried == []


@pytest.mark.parametrize("config", blocks("yaml"), ids=lambda block: f"{block.page}-{block.title}")
def test_every_configuration_is_good(config: Block, tmp_path: Path) -> None:
    issuer_at(tmp_path)
    run("keys", "create", "keys.json", at=tmp_path)
    run("token", "key", "--private", "identity.pem", "--jwks", "identity.json", at=tmp_path)
    for name in ("redis.password", "sentinel.password"):
        (tmp_path / name).write_text("of no use\n")
        (tmp_path / name).chmod(0o600)
    run(
        "users",
        "add",
        "users",
        "alice",
        "--password-stdin",
        "--algorithm",
        "scrypt",
        at=tmp_path,
        stdin="correct-horse-battery\n",
    )
    (tmp_path / "config.yaml").write_text(whole(config.text))
    assert "app" in run("check", "config.yaml", at=tmp_path) or config.page == "quick-start.md"


def whole(text: str) -> str:
    """Return the configuration of a page with what it leaves out."""
    return str(yaml.safe_dump({**yaml.safe_load(AROUND), **yaml.safe_load(text)}, sort_keys=False))


def test_the_quick_start_does_what_it_says(tmp_path: Path) -> None:
    page = on_free_ports((DOCS / "quick-start.md").read_text())
    script = ["set -e", f'gateway() {{ "{sys.executable}" -m gateway "$@"; }}', *commands(page), "kill $(jobs -p)"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with (tmp_path / "out").open("w+") as out:
        process = subprocess.Popen(
            ["bash", "-c", "\n".join(script)],
            cwd=tmp_path,
            env=environment,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
        try:
            status = process.wait(120)
        finally:
            end(process)
        out.seek(0)
        said = out.read()
    assert status == 0, said
    at = 0
    for line in answers(page):
        assert line in said[at:], (line, said)
        at = said.index(line, at) + len(line)


def on_free_ports(page: str) -> str:
    for port in ("8080", "9090", "9000"):
        free = free_port()
        page = page.replace(f"127.0.0.1:{port}", f"127.0.0.1:{free}").replace(
            f"http.server {port}", f"http.server {free}"
        )
    return page


def commands(page: str) -> Iterator[str]:
    """Give what a reader types, in the order of the page."""
    for found in FENCE.finditer(page):
        match found["reason"], found["language"]:
            case None, "sh":
                yield found["text"]
            case None, "yaml":
                yield f"cat > {found['title']} <<'END'\n{found['text']}END"
            case None, "console":
                yield from (line[2:] for line in found["text"].splitlines() if line.startswith("$ "))


def answers(page: str) -> Iterator[str]:
    """Give what a reader then sees; there may be more."""
    for found in FENCE.finditer(page):
        if found["language"] == "console":
            yield from (line for line in found["text"].splitlines() if not line.startswith("$ "))


APPLICATIONS = {
    ("applications.md", "django/app.py"): ["runserver", "--noreload", "127.0.0.1:{port}"],
    ("applications.md", "fastapi/app.py"): ["-m", "uvicorn", "app:app", "--host", "127.0.0.1", "--port", "{port}"],
}
"""Arguments of Python for each application."""

MODULES = {("applications.md", "express/caller.mjs"), ("applications.md", "express/app.mjs")}


@pytest.mark.skipif(not SITE_PYTHON.exists(), reason="`make site` installs the frameworks")
@pytest.mark.parametrize(("page", "title"), APPLICATIONS)
def test_an_application_learns_who_calls_and_cannot_be_lied_to(page: str, title: str, tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text(block(page, title))
    port = free_port()
    arguments = [each.format(port=port) for each in APPLICATIONS[page, title]]
    command = [str(SITE_PYTHON), *([] if arguments[0] == "-m" else ["app.py"]), *arguments]
    asked_behind_a_gateway(command, port, tmp_path)


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_middleware_of_express_learns_who_calls_and_cannot_be_lied_to(tmp_path: Path) -> None:
    """With the server of Node.js: Express itself is not there. Its application is only parsed."""
    for _, title in MODULES:
        (tmp_path / Path(title).name).write_text(block("applications.md", title))
        subprocess.run(["node", "--check", Path(title).name], cwd=tmp_path, check=True, timeout=60)
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
    text = block("applications.md", "config.yaml").replace("discovery: true", "jwks_file: jwks.json")
    (at / "config.yaml").write_text(text.replace(":8000", f":{port}").replace("0.0.0.0:8080", f"127.0.0.1:{listen}"))
    token = minted(
        at, "https://id.example.com", {"sub": "alice", "aud": "https://api.example.com", "scope": "orders:read"}
    )
    url = f"http://127.0.0.1:{listen}/orders"
    with running(command, at), running([*GATEWAY, "serve", "config.yaml"], at):
        assert answer(url, {})[0] == 401
        lie = {"Authorization": f"Bearer {token}", "X-User": "root", "X_User": "root", "X-Scopes": "admin"}
        deadline = time.monotonic() + 60
        while (got := answer(url, lie))[0] in {502, 503, 504} and time.monotonic() < deadline:
            time.sleep(0.1)
        assert got[0] == 200, got
        assert json.loads(got[1]) == {"user": "alice", "scopes": ["orders:read"]}
        assert answer(f"http://127.0.0.1:{port}/orders", {})[0] == 401, "without the headers of the gateway"


CLAIMS = {("issuers.md", f"{name}.json") for name in ("keycloak", "auth0", "entra")}


@pytest.mark.parametrize("name", ["keycloak", "auth0", "entra"])
@pytest.mark.parametrize(("change", "verdict"), [("none", "ALLOW"), ("audience", "DENY"), ("role", "DENY")])
def test_tokens_of_known_issuers_pass_with_the_right_audience_and_role(
    name: str, change: str, verdict: str, tmp_path: Path
) -> None:
    issuer_at(tmp_path)
    config = block("issuers.md", f"{name}.yaml").replace("discovery: true", "jwks_file: jwks.json")
    (tmp_path / "config.yaml").write_text(whole(config))
    claims = json.loads(block("issuers.md", f"{name}.json"))
    if change == "audience":
        claims["aud"] = "somebody else"
    if change == "role":
        claims = json.loads(json.dumps(claims).replace("orders-read", "other"))
    token = minted(tmp_path, claims["iss"], claims, typ="JWT")
    asked = ["--config", "config.yaml", "--url", "http://x.example/orders/1", "--token", "-"]
    said = run("explain", *asked, at=tmp_path, stdin=token, status=0 if verdict == "ALLOW" else 1)
    assert re.search(rf"(?m)^{verdict}\b", said), said


def issuer_at(directory: Path) -> None:
    """Make the key of an issuer and its key set."""
    run("token", "key", "--alg", "ES256", "--private", "issuer.pem", "--jwks", "jwks.json", at=directory)


def minted(at: Path, issuer: str, claims: Mapping[str, Any], typ: str = "at+jwt") -> str:
    own = {"iss", "iat", "exp", "nbf"}
    more = [f"--claim={name}={json.dumps(value)}" for name, value in claims.items() if name not in own]
    named = ["--issuer", issuer, "--audience", "replaced", "--subject", "replaced"]
    return run("token", "mint", "--key", "issuer.pem", "--typ", typ, *named, *more, at=at).strip()


def run(*arguments: str, at: Path, stdin: str = "", status: int = 0) -> str:
    """Return what a command of the gateway prints."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, chdir(at), redirect_stdout(said):
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin.encode())))
        assert main(arguments) == status, said.getvalue()
    return said.getvalue()


@contextmanager
def running(command: list[str], at: Path) -> Iterator[None]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT) if command[0] == sys.executable else ""}
    process = subprocess.Popen(
        command, cwd=at, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        yield
    finally:
        end(process)


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


def answer(url: str, headers: Mapping[str, str]) -> tuple[int, str]:
    """Return status and body, as soon as somebody listens."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=dict(headers)), timeout=30) as got:
                return got.status, got.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
