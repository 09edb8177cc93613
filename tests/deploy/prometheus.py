"""A real Prometheus, which scrapes what a test runs, and answers queries."""

import json
import math
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import yaml

from tests.deploy.monitoring import RULES
from tests.ports import free_port
from tests.trips.servers import required

EVERY = "500ms"
"""Between two scrapes: much less than usual, so that a test is soon over."""
PATIENCE = 30.0


@dataclass
class Prometheus:
    url: str
    process: "subprocess.Popen[bytes]"
    log: Path

    def series(self, query: str) -> list[dict[str, Any]]:
        """Return the labels of what a query finds now, as far as it is a number."""
        found = self.get("query", query=query)["result"]
        return [each["metric"] for each in found if not math.isnan(float(each["value"][1]))]

    def get(self, path: str, **parameters: str) -> Any:
        """Ask the HTTP API. Raises AssertionError with what Prometheus says of a query that it does not understand."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{urlencode(parameters)}", timeout=PATIENCE) as got:
                return json.load(got)["data"]
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError(f"{parameters}: {error.read().decode()}") from error

    def has_scraped(self, *instances: str) -> None:
        """Wait until each of these was scraped once more, from beginning to end."""
        began = time.time()
        for instance in instances:
            name = urlsplit(instance).netloc
            self._wait(f'timestamp(gateway_build_info{{instance="{name}"}}) > {began}', name)

    def _wait(self, query: str, what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self.series(query):
            assert time.monotonic() < end, f"{what}: {self.log.read_text()}"
            time.sleep(0.1)


@contextmanager
def prometheus_running(directory: Path, jobs: Mapping[str, Sequence[str]]) -> Iterator[Prometheus]:
    """Run a Prometheus with our rules, which scrapes URLs by the name of the job."""
    directory.mkdir()
    port = free_port()
    config = {
        "global": {"scrape_interval": EVERY, "scrape_timeout": EVERY, "evaluation_interval": "1s"},
        "rule_files": [str(RULES)],
        "scrape_configs": [
            {"job_name": job, "static_configs": [{"targets": [urlsplit(url).netloc for url in urls]}]}
            for job, urls in jobs.items()
        ],
    }
    file, log = directory / "prometheus.yml", directory / "log"
    file.write_text(yaml.safe_dump(config))
    command = [
        required("prometheus"),
        f"--config.file={file}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield Prometheus(_ready(f"http://127.0.0.1:{port}", process, log), process, log)
    finally:
        process.kill()
        process.wait()


def _ready(url: str, process: "subprocess.Popen[bytes]", log: Path) -> str:
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=PATIENCE):
                return url
        except OSError:
            is_over = process.poll() is not None or time.monotonic() > end
            assert not is_over, log.read_text()
            time.sleep(0.05)
