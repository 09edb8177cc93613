"""Open files: how many there may be, and how many it takes."""

import subprocess
import sys
from pathlib import Path

import yaml

from gateway.config.load import load_text
from gateway.workers.descriptors import needed

_RAISED = """
import resource
from gateway.workers.descriptors import raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
assert raise_limit() == 256
assert resource.getrlimit(resource.RLIMIT_NOFILE) == (256, 256)
assert raise_limit() == 256
"""


def test_a_process_allows_itself_as_many_as_it_may() -> None:
    root = Path(__file__).parents[2]
    subprocess.run([sys.executable, "-c", _RAISED], check=True, cwd=root)


def test_all_clients_and_all_connections_to_upstreams_may_be_open_at_once() -> None:
    config = {
        "listen": [{"address": "127.0.0.1:0"}],
        "upstreams": {
            "a": {"targets": ["http://127.0.0.1:9", "http://127.0.0.1:10"], "connections": 1000},
            "b": {"targets": ["http://127.0.0.1:9"], "connections": 100},
        },
        "routes": [{"id": name, "match": {"path": f"/{name}"}, "upstream": name, "access": "public"} for name in "ab"],
        "limits": {"connections": 50_000},
    }
    assert 52_100 < needed(load_text(yaml.safe_dump(config), {}).config) < 52_500
