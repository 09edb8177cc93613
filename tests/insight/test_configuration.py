"""The configuration as operators see it."""

import json
from pathlib import Path

from gateway.config.load import load_text
from gateway.insight.configuration import FROM_ENVIRONMENT, HIDDEN, shown_config

TEXT = """
version: 1
listen: [{address: "127.0.0.1:8080"}]
state: {url: "rediss://someone:hunter2@redis.example:6379/0", password: "${REDIS_PASSWORD}"}
upstreams:
  app: {targets: ["${TARGET}"]}
routes:
  - {id: all, match: {path: "/**"}, upstream: app, access: public}
"""
ENVIRONMENT = {"REDIS_PASSWORD": "swordfish-swordfish", "TARGET": "http://10.0.0.7:9000"}


def test_defaults_are_filled_in_and_no_secret_is_shown() -> None:
    loaded = load_text(TEXT.replace("someone:hunter2@", ""), ENVIRONMENT, file=Path("c.yaml"), has_files=False)
    shown = shown_config(loaded.config, loaded.document.from_environment)
    assert shown["upstreams"]["app"]["targets"] == [FROM_ENVIRONMENT]
    assert shown["upstreams"]["app"]["balance"] == "round_robin"
    assert shown["state"]["password"] == FROM_ENVIRONMENT
    text = json.dumps(shown)
    assert not any(value in text for value in ENVIRONMENT.values())


def test_what_looks_like_a_secret_is_hidden_wherever_it_came_from() -> None:
    text = TEXT.replace(', password: "${REDIS_PASSWORD}"', "")
    loaded = load_text(text, ENVIRONMENT, file=Path("c.yaml"), has_files=False)
    shown = shown_config(loaded.config, ())
    assert shown["state"]["url"] == f"rediss://{HIDDEN}@redis.example:6379/0"
    assert "hunter2" not in json.dumps(shown)


def test_the_query_of_a_url_is_hidden() -> None:
    text = TEXT.replace("someone:hunter2@", "")
    loaded = load_text(text, ENVIRONMENT, file=Path("c.yaml"), has_files=False)
    hook = loaded.config.model_copy(update={"realm": "https://hooks.example/x?token=abc"})
    assert shown_config(hook, ())["state"]["password"] == HIDDEN
    assert shown_config(hook, ())["realm"] == f"https://hooks.example/x?{HIDDEN}"
