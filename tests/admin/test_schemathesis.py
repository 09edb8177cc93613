"""Schemathesis compares the admin API that runs with its document, and finds nothing."""

import asyncio
import os
import re
import sys
from pathlib import Path

from gateway.admin.openapi import document
from tests.session_gateway import ADMIN_TOKEN, SECTIONS, session_gateway

EXAMPLES = 5
"""Of each operation, besides those at the bounds of what is allowed."""
GENEROUS = {**SECTIONS["admin"], "rate_limit": {"requests": 1_000_000}}
PATIENCE = 180


async def test_it_finds_nothing(tmp_path: Path) -> None:
    async with session_gateway(tmp_path, admin=GENEROUS) as served:
        for user in ("alice", "alice", "bob"):
            await served.log_in(user)
        for path in ("/api/x", "/nothing"):
            await served.ask("GET", f"{served.running.url}{path}")
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("schemathesis")), "--no-color", "run"),
            f"{served.admin_url}/admin/api/v1/openapi.json",
            *("--header", f"Authorization: Bearer {ADMIN_TOKEN}", "--checks", "all", "--continue-on-failure"),
            *("--max-examples", str(EXAMPLES), "--seed", "7", "--generation-deterministic", "--no-shrink"),
            *("--warnings", "off", "--include-path-regex", "^/"),  # else it leaves out the document itself
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "160"},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        async with asyncio.timeout(PATIENCE):
            out, _ = await process.communicate()
        printed = out.decode()
        assert served.events("bug") == []
    operations = sum(len(item.keys() - {"parameters"}) for item in document()["paths"].values())
    assert process.returncode == 0, printed
    assert f"{operations} selected / {operations} total" in printed
    found = re.search(r"(\d+) generated, (\d+) passed", printed)
    assert found is not None
    assert int(found[1]) == int(found[2]) > 20 * operations
