"""The code of the client guide does what the guide says, at a real gateway."""

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.clients.conftest import Issuer
from tests.clients.processes import PASSWORD, SECRET, opened, sessions
from tests.pages.blocks import blocks

PAGE = "docs/clients.md"
ORIGIN = "https://app.example.com"

BROWSER = """
const base = process.env.GATEWAY, jar = new Map(), seen = [];
const send = globalThis.fetch;
globalThis.fetch = async (path, init = {}) => {
  const Cookie = [...jar].map(([name, value]) => `${name}=${value}`).join("; ");
  const answer = await send(base + path, { ...init, headers: { ...init.headers, Cookie, Origin: "ORIGIN" } });
  seen.push(`${path} ${answer.status}`);
  for (const line of answer.headers.getSetCookie()) {
    const [name, value] = line.split(";")[0].split("=");
    if (/Max-Age=0/i.test(line)) jar.delete(name); else jar.set(name, value);
  }
  return answer;
};
const login = () => "the login page";
"""
"""What a browser has that Node.js lacks: cookies, and an origin."""

VISIT = """
const credentials = JSON.stringify({ username: "alice", password: process.env.PASSWORD, client_id: "web" });
await fetch("/auth/login", { method: "POST", body: credentials, headers: { "Content-Type": "application/json" } });
const good = await api("/api/x");
jar.delete("__Host-access");  // as if it were over
const renewed = await api("/api/x");
jar.clear();
const over = await api("/api/x");
console.log(JSON.stringify({ statuses: [good.status, renewed.status], over, seen }));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_page_refreshes_on_401_and_goes_to_the_login_after_a_definite_no(issuer: Issuer, tmp_path: Path) -> None:
    (block,) = blocks(PAGE, "js")
    gateway = issuer.fleet.start(
        sessions={
            **sessions("https://gw.example"),
            "answer": {"login": "cookies", "refresh": "cookies"},
            "cookies": {"origins": [ORIGIN]},
        },
        token_from=[{"cookie": "__Host-access", "origins": [ORIGIN]}],
    )
    (tmp_path / "page.mjs").write_text(BROWSER.replace("ORIGIN", ORIGIN) + block.text + VISIT)
    environment = {**os.environ, "GATEWAY": gateway.url, "PASSWORD": PASSWORD}
    done = subprocess.run(
        ["node", "page.mjs"], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["statuses"] == [200, 200]
    assert said["over"] == "the login page"
    assert said["seen"] == [
        *("/auth/login 200", "/api/x 200"),
        *("/api/x 401", "/auth/refresh 200", "/api/x 200"),
        *("/api/x 401", "/auth/refresh 401"),
    ]


def test_the_server_refreshes_by_itself_and_stores_the_new_pair(
    issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    (block,) = blocks(PAGE, "python")
    code = block.text.replace("https://gw.example", issuer.url).replace("the client's secret", SECRET)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", issuer.ca)
    tokens = opened(issuer.url, issuer.ca, client_id="svc")
    kept: list[dict[str, Any]] = []
    names = {"stored": {**tokens, "expires_at": int(time.time()) - 1}, "store": kept.append}
    exec(compile(code, PAGE, "exec"), names)
    session: Any = names["session"]
    with session:
        (new,) = kept
        assert new["refresh_token"] != tokens["refresh_token"]
        assert session.get(f"{issuer.url}/api/orders").status_code == 200
