"""The configuration as operators see it."""

import json
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel

from gateway.config.load import load_text
from gateway.config.schema import Config
from gateway.insight.configuration import FROM_ENVIRONMENT, HIDDEN, holds_secret, shown_config, without_credentials

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


def test_the_password_of_a_store_is_hidden_whatever_characters_it_has() -> None:
    assert (
        without_credentials("redis://user:a/b?c#d@e@redis.example:6379/0") == f"redis://{HIDDEN}@redis.example:6379/0"
    )
    assert without_credentials("https://a:b@c.example/d@e?f=g") == f"https://{HIDDEN}@c.example/d@e?{HIDDEN}"


MORE = """
listen: [{address: "127.0.0.1:8080"}]
inject: [{header: X-Gateway-Key, value: shared-with-the-upstream}]
token_from: [{cookie: t, origins: ["https://c.example", "${ORIGIN}", "https://a.example"]}]
cors: {origins: ["https://c.example"], headers: [X-Tenant]}
authenticators: {main: {type: jwt, issuer: "https://i.example", audiences: [a], jwks_uri: "https://i.example/k"}}
upstreams: {app: {targets: ["http://10.0.0.7:9000"]}}
routes:
  - id: all
    match: {path: "/**"}
    upstream: app
    require: [{not: {claim: tier, equals: "${TIER}"}}, {any: [{claim: tier, equals: "${TIER}"}]}]
"""


def test_no_value_from_the_environment_is_shown_wherever_it_stands() -> None:
    environment = {"ORIGIN": "https://b.example", "TIER": "a-tier-nobody-knows"}
    loaded = load_text(MORE, environment, file=Path("c.yaml"), has_files=False)
    shown = shown_config(loaded.config, loaded.document.from_environment)
    text = json.dumps(shown)
    assert not any(value in text for value in environment.values())
    assert shown["routes"][0]["require"][0]["not"]["equals"] == FROM_ENVIRONMENT
    assert shown["token_from"][0]["origins"] == FROM_ENVIRONMENT  # a set: nobody knows which member it is


def test_what_upstreams_know_the_gateway_by_is_hidden_and_names_of_headers_are_not() -> None:
    environment = {"ORIGIN": "https://b.example", "TIER": "x"}
    shown = shown_config(load_text(MORE, environment, file=Path("c.yaml"), has_files=False).config, ())
    assert shown["inject"] == [{"header": "X-Gateway-Key", "value": HIDDEN}]
    assert shown["cors"]["headers"] == ["X-Tenant"]
    assert shown["token_from"][0]["origins"] == ["https://a.example", "https://b.example", "https://c.example"]
    assert shown["headers"]["access_token"] == "X-Access-Token"


def test_everything_else_is_as_in_the_file_with_defaults_filled_in() -> None:
    text = MORE.replace("${ORIGIN}", "https://b.example").replace("${TIER}", "gold")
    config = load_text(text, {}, file=Path("c.yaml"), has_files=False).config
    assert json.dumps(shown_config(config, ())["routes"]) == json.dumps(
        config.model_dump(mode="json", by_alias=True)["routes"]
    )
    assert shown_config(config, ()).keys() == type(config).model_fields.keys()


def test_every_setting_that_is_no_part_of_a_repr_is_hidden() -> None:
    """Whoever adds a secret setting keeps it out of its repr; then it must be hidden here as well."""
    secrets = {name for model in _models(Config) for name, each in model.model_fields.items() if not each.repr}
    assert secrets == {"url", "password", "secret_hashes"}
    assert secrets - {"url"} == {name for name in secrets if holds_secret(name, "x")}


def _models(kind: Any, seen: set[type[BaseModel]] | None = None) -> set[type[BaseModel]]:
    found = set() if seen is None else seen
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        if kind not in found:
            found.add(kind)
            for each in kind.model_fields.values():
                _models(each.annotation, found)
    else:
        for part in get_args(kind):
            _models(part, found)
    return found
