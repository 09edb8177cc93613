"""The documentation names everything that there is."""

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest

from gateway.config.schema import InsecureName
from gateway.config.session_endpoints import EndpointSettings
from gateway.mechanisms.logins.guarded import RESULTS
from gateway.model.errors import Refusal
from gateway.model.session import EndReason
from gateway.state.base import GAPS
from gateway.telemetry.access_log import AccessEntry
from gateway.telemetry.audit import EVENTS
from gateway.telemetry.metrics import METRICS
from gateway.timed_state import OPERATIONS
from gateway.workers.process import ENDS
from tests.clients import test_faults

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def refusals(parent: type[Refusal] = Refusal) -> Iterator[type[Refusal]]:
    yield parent
    for child in parent.__subclasses__():
        yield from refusals(child)


@pytest.mark.parametrize("reason", sorted({refusal.reason for refusal in refusals()}))
def test_every_reason_is_in_the_list_of_errors(reason: str) -> None:
    assert f"`{reason}`" in (DOCS / "errors.md").read_text()


def test_the_list_of_errors_names_no_reason_that_does_not_exist() -> None:
    rows = [line for line in (DOCS / "errors.md").read_text().splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row.split("|")[1])}
    assert named <= {refusal.reason for refusal in refusals()}


def test_the_list_of_errors_gives_each_its_status() -> None:
    statuses = {refusal.reason: str(getattr(refusal, "status", "")) for refusal in refusals()}
    rows = [line.split("|") for line in (DOCS / "errors.md").read_text().splitlines() if line.startswith("| `")]
    for row in rows:
        for reason in re.findall(r"`([a-z_]+)`", row[1]):
            assert row[2].strip() == statuses[reason], reason


@pytest.mark.parametrize("name", [metric.name for metric in METRICS])
def test_every_metric_is_documented_with_its_labels(name: str) -> None:
    metric = next(metric for metric in METRICS if metric.name == name)
    row = next(line for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith(f"| `{name}`"))
    assert metric.kind in row
    assert all(f"`{label}`" in row for label in metric.labels)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("gateway_sessions_ended_total", [reason.value for reason in EndReason]),
        ("gateway_logins_total", RESULTS),
        ("gateway_store_seconds", OPERATIONS),
        ("gateway_revocation_resyncs_total", GAPS),
        ("gateway_worker_ends_total", ENDS),
    ],
)
def test_the_values_of_a_label_are_documented(name: str, values: Iterable[str]) -> None:
    row = next(line for line in (DOCS / "metrics.md").read_text().splitlines() if line.startswith(f"| `{name}`"))
    assert [value for value in values if f"`{value}`" not in row] == []


def test_every_accepted_weakness_is_documented() -> None:
    assert [name for name in get_args(InsecureName) if f"`{name}`" not in (DOCS / "security.md").read_text()] == []


def test_every_endpoint_of_the_gateway_is_documented() -> None:
    paths = [path for _, path in EndpointSettings() if isinstance(path, str)]
    assert [path for path in paths if f"`{path}`" not in (DOCS / "sessions.md").read_text()] == []


def test_every_preset_is_described() -> None:
    described = (DOCS / "presets" / "README.md").read_text()
    presets = [file.name for file in (DOCS / "presets").glob("*.yaml")]
    assert presets
    assert [name for name in presets if f"]({name})" not in described or f"**{name[:-5]}: " not in described] == []


@pytest.mark.parametrize("field", AccessEntry._fields)
def test_every_field_of_the_access_log_is_documented(field: str) -> None:
    assert f"`{field}`" in (DOCS / "logs.md").read_text()


def test_every_event_of_the_audit_log_is_documented() -> None:
    audit = (DOCS / "logs.md").read_text().split("## Audit log")[1].split("## Events")[0]
    rows = [line.split("|") for line in audit.splitlines() if line.startswith("| `")]
    named = {name for row in rows for name in re.findall(r"`([a-z_]+)`", row[1])}
    assert set(EVENTS) <= named


def test_every_event_is_documented() -> None:
    documented = set(re.findall(r"`([a-z_]+)`", (DOCS / "logs.md").read_text().split("## Events")[1]))
    source = "\n".join(path.read_text() for path in (ROOT / "gateway").rglob("*.py"))
    logged = set(re.findall(r"""log\.(?:info|warning|error)\(\s*"([a-z_]+)""", source))
    noticed = set(re.findall(r"""notice\(\s*"([a-z_]+)""", source))
    assert logged | noticed
    assert (logged | noticed) <= documented


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_links_to_headings_lead_somewhere(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        text = (page.parent / target if target else page).read_text()
        headings = {re.sub(r"[^a-z0-9 _-]", "", title.lower()) for title in re.findall(r"(?m)^#+ (.*)$", text)}
        assert anchor in {heading.replace(" ", "-") for heading in headings}, f"{target}#{anchor}"


def test_every_fault_that_is_tried_is_promised_and_every_promise_is_tried() -> None:
    rows = re.findall(r"\| `(test_\w+(?:\[\w+\])?)` \|$", (DOCS / "reliability.md").read_text(), re.MULTILINE)
    assert sorted(rows) == sorted(_names_of_tests(test_faults))


def _names_of_tests(module: ModuleType) -> Iterator[str]:
    for name, function in vars(module).items():
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(function, "pytestmark", ()) if mark.name == "parametrize"]
        if not marks:
            yield name
        for mark in marks:
            values = [each[0] if isinstance(each, tuple) else each for each in mark.args[1]]
            yield from (f"{name}[{getattr(value, '__name__', value)}]" for value in values)
