"""What deploy/monitoring holds, for tests: the rules, the dashboard, and the queries in both."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"
RULES = MONITORING / "rules.yaml"


def rules() -> list[dict[str, Any]]:
    """Return every rule."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> dict[str, dict[str, Any]]:
    """Return every alert by its name."""
    return {rule["alert"]: rule for rule in rules() if "alert" in rule}


def dashboard() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((MONITORING / "dashboard.json").read_text())
    return document


def dashboard_queries() -> Iterator[tuple[str, str]]:
    """Yield the name and the query of everything that the dashboard asks, with everything chosen."""
    document = dashboard()
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield f"{panel['title']}: {target['legendFormat']}", _chosen(target["expr"])
    for annotation in document["annotations"]["list"]:
        yield annotation["name"], _chosen(annotation["expr"])


def dashboard_variables() -> Iterator[tuple[str, str, str]]:
    """Yield the name of each variable, and of what series it takes the values of what label."""
    for variable in dashboard()["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
            assert match is not None, variable
            yield variable["name"], _chosen(match[1]), match[2]


def _chosen(query: str) -> str:
    for name, value in (
        ("__rate_interval", "5m"),
        ("__range", "1h"),
        ("job", ".*"),
        ("instance", ".*"),
        ("route", ".*"),
    ):
        query = query.replace(f"${name}", value)
    assert "$" not in query, query
    return query
