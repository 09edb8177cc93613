"""Writes the Grafana dashboard: `python deploy/monitoring/dashboard.py > deploy/monitoring/dashboard.json`."""

import json
import sys
from collections.abc import Iterator
from typing import Any

from panels import ROWS, Panel

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
HERE = 'job=~"$job",instance=~"$instance"'


def dashboard() -> dict[str, Any]:
    return {
        "uid": "gateway",
        "title": "Gateway",
        "tags": ["gateway"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(_variables())},
        "annotations": {"list": [_reloads()]},
        "panels": list(_panels()),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    for name, query in (
        ("job", "label_values(gateway_build_info, job)"),
        ("instance", 'label_values(gateway_build_info{job=~"$job"}, instance)'),
        ("route", f"label_values(gateway_requests_total{{{HERE}}}, route)"),
    ):
        yield {
            "name": name,
            "label": name.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": name},
            "refresh": 2,
            "includeAll": True,
            "allValue": ".*",
            "multi": True,
            "current": {"text": "All", "value": "$__all"},
        }


def _reloads() -> dict[str, Any]:
    return {
        "name": "Reloads",
        "datasource": DATASOURCE,
        "enable": True,
        "iconColor": "blue",
        "expr": _whole('sum by (instance) (increase(gateway_config_reloads_total{<here>,result="ok"}[<t>])) > 0'),
        "titleFormat": "Configuration reloaded",
    }


def _panels() -> Iterator[dict[str, Any]]:
    number, top = 0, 0
    for title, panels in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": _place(0, top, 24, 1)}
        left, top = 0, top + 1
        height = 4 if panels[0].is_stat else 8
        for panel in panels:
            if left + panel.width > 24:
                left, top = 0, top + height
            number += 1
            yield {"id": number, "gridPos": _place(left, top, panel.width, height), **_drawn(panel)}
            left += panel.width
        top += height


def _place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    return {"x": x, "y": y, "w": w, "h": h}


def _drawn(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.steps is not None:
        steps += [{"color": color, "value": at} for color, at in zip(("yellow", "red"), panel.steps, strict=True)]
    defaults: dict[str, Any] = {"unit": panel.unit, "min": 0, "thresholds": {"mode": "absolute", "steps": steps}}
    if panel.is_stat:
        options: dict[str, Any] = {
            "graphMode": "area",
            "colorMode": "value",
            "reduceOptions": {"calcs": ["lastNotNull"]},
        }
    else:
        stacking = "normal" if panel.is_stacked else "none"
        defaults["custom"] = {"fillOpacity": 20 if panel.is_stacked else 0, "stacking": {"mode": stacking}}
        options = {
            "tooltip": {"mode": "multi", "sort": "desc"},
            "legend": {"displayMode": "list", "placement": "bottom"},
        }
    return {
        "type": "stat" if panel.is_stat else "timeseries",
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": DATASOURCE, "expr": _whole(query), "legendFormat": legend}
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _whole(query: str) -> str:
    filled = query.replace("<route>", f'{HERE},route=~"$route"').replace("<here>", HERE)
    return filled.replace("<t>", "$__rate_interval")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(dashboard(), indent=1) + "\n")
