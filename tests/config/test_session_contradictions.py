"""Sessions and the admin API, with what they need and what must be accepted by name."""

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.config.compile import CompileMistakes, compile_config
from gateway.config.load import load_config
from gateway.config.mistakes import ConfigMistakes
from gateway.mechanisms.base import offline_resources
from tests.config.test_contradictions import issuer
from tests.config.test_token_contradictions import SESSIONS, STATE, found
from tests.minting import jwks
from tests.session_gateway import SECTIONS, write_files
from tests.trips.running import KEY, config

ADMIN = {"token_file": "admin-token"}
ALARM = {"url": "https://hooks.example/x", "secret_file": "alarm-secret"}


def places(**sections: Any) -> list[str]:
    return list(found(**sections))


def test_sessions_need_state_and_the_admin_api_needs_neither() -> None:
    assert places(sessions=SESSIONS) == ["sessions"]
    assert places(admin=ADMIN) == []
    assert places(sessions=SESSIONS, state=STATE, admin=ADMIN) == []


def test_an_http_issuer_must_be_accepted() -> None:
    plain = {**SESSIONS, "issuer": "http://gw.example"}
    assert places(sessions=plain, state=STATE) == ["sessions.issuer"]
    assert places(sessions=plain, state=STATE, insecure=["http_issuer"]) == []


def test_own_tokens_do_not_outlive_a_logout_by_being_taken_for_anothers() -> None:
    """A `jwt` authenticator for our own issuer would not know that a session has ended."""
    own = {**issuer("own"), "issuer": SESSIONS["issuer"]}
    told = found(sessions=SESSIONS, state=STATE, authenticators={"own": own})
    assert list(told) == ["authenticators.own.issuer"]
    assert "type: issued" in told["authenticators.own.issuer"]
    assert places(sessions=SESSIONS, state=STATE, authenticators={"own": {"type": "issued"}}) == []


@pytest.mark.parametrize(
    ("url", "is_good"),
    [
        ("https://hooks.example/x", True),
        ("http://127.0.0.1:8000/x", True),
        ("http://[::1]/x", True),
        ("http://localhost/x", True),
        ("http://hooks.example/x", False),
        ("http://127.0.0.1.hooks.example/x", False),
        ("http://localhost.hooks.example/x", False),
    ],
)
def test_alarms_are_not_sent_in_the_clear_unless_accepted(url: str, is_good: bool) -> None:
    sessions = {**SESSIONS, "alarm": {**ALARM, "url": url}}
    assert places(sessions=sessions, state=STATE) == ([] if is_good else ["sessions.alarm.url"])
    assert places(sessions=sessions, state=STATE, insecure=["http_alarm"]) == []


def test_unknown_authenticators_of_the_admin_api_are_named() -> None:
    admin = {"authenticators": ["staf"], "require": [{"scopes": ["x"]}]}
    told = found(sessions=SESSIONS, state=STATE, admin=admin)
    assert told == {"admin.authenticators[0]": 'unknown authenticator "staf"; did you mean "staff"?'}


def test_two_listeners_cannot_share_an_address() -> None:
    both = {"sessions": SESSIONS, "state": STATE, "ops": {"address": "127.0.0.1:9090"}}
    assert places(**both, admin={**ADMIN, "address": "127.0.0.1:9090"}) == ["admin.address"]
    assert places(**both, admin={**ADMIN, "address": "127.0.0.1:9091"}) == []


# --- with the files that are named


def mistakes(directory: Path, **sections: Any) -> list[str]:
    """Return all mistakes as `gateway check` finds them, without file and line."""
    (directory / "keys.json").write_bytes(jwks(KEY))
    file = directory / "config.yaml"
    file.write_text(json.dumps(config(json.dumps({**SECTIONS, **sections}))))
    try:
        loaded = load_config(file, {})
        try:
            compile_config(loaded.config, offline_resources(directory))
        except CompileMistakes as error:
            raise loaded.mistakes(error) from error
    except ConfigMistakes as error:
        return [line.split(": ", 1)[1] for line in str(error).splitlines()]
    return []


def with_sessions(**changes: Any) -> dict[str, Any]:
    return {"sessions": {**SECTIONS["sessions"], **changes}}


def test_a_good_configuration_has_no_mistakes(tmp_path: Path) -> None:
    write_files(tmp_path)
    assert mistakes(tmp_path, **with_sessions(alarm=ALARM)) == []


def test_all_files_are_looked_at_together(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "own.json").write_text("{}")
    (tmp_path / "admin-token").write_text("short")
    (tmp_path / "users").write_text("alice:plain\n")
    (tmp_path / "alarm-secret").write_text("short\n")
    (tmp_path / "hashes").write_text("secret\n")
    clients = {"web": {"type": "public"}, "svc": {"type": "confidential", "secret_file": "hashes"}}
    told = mistakes(tmp_path, **with_sessions(clients=clients, alarm=ALARM))
    assert sorted(line.split(": ")[0] for line in told) == [
        "admin.token_file",
        "sessions.alarm.secret_file",
        "sessions.clients.svc.secret_file",
        "sessions.key_file",
        "sessions.login.users.file",
    ]
    assert not any(secret in line for line in told for secret in ("short", "plain", "secret\n"))


def test_they_are_told_with_the_other_mistakes(tmp_path: Path) -> None:
    write_files(tmp_path)
    (tmp_path / "users").unlink()
    told = mistakes(tmp_path, realm=1)
    assert [line.split(": ")[0] for line in told] == ["realm", "sessions.login.users.file"]


@pytest.mark.parametrize("token", ["", "x" * 31, "x" * 20 + " " + "x" * 20, "ä" * 40, "x" * 40 + "\ny"])
def test_a_weak_admin_token_is_refused(tmp_path: Path, token: str) -> None:
    write_files(tmp_path)
    (tmp_path / "admin-token").write_text(token)
    [told] = mistakes(tmp_path)
    assert told.startswith("admin.token_file: ")


def test_a_backend_is_checked_without_a_call(tmp_path: Path) -> None:
    write_files(tmp_path)
    backend = {"url": "http://backend.example/login", "subject": "id"}
    changes = with_sessions(login={"backend": backend}, signup=backend)
    places = [line.split(": ")[0] for line in mistakes(tmp_path, **changes)]
    assert places == ["sessions.login.backend.url", "sessions.signup.url"]
    assert mistakes(tmp_path, **changes, insecure=["http_login"]) == []


@pytest.mark.parametrize("path", ["/oauth/token", "/auth/login", "/.well-known/oauth-authorization-server"])
def test_a_route_cannot_name_a_path_of_the_gateway(tmp_path: Path, path: str) -> None:
    write_files(tmp_path)
    route = {"id": "mine", "match": {"path": path}, "upstream": "app", "access": "public"}
    [told] = mistakes(tmp_path, routes=[route])
    assert told == f'routes[0].match.path: "{path}" is a route of the gateway itself'


def test_broken_sessions_bring_no_mistakes_of_others_with_them(tmp_path: Path) -> None:
    write_files(tmp_path)
    told = mistakes(tmp_path, **with_sessions(issuer="nonsense"))
    assert [line.split(": ")[0] for line in told] == ["sessions.issuer"]
    (tmp_path / "own.json").unlink()
    assert [line.split(": ")[0] for line in mistakes(tmp_path)] == ["sessions.key_file"]


@pytest.mark.parametrize("url", ["https://", "https://:99999/x", "https://u:p@hooks.example", "https://h.example/#x"])
def test_an_alarm_goes_to_a_url(tmp_path: Path, url: str) -> None:
    write_files(tmp_path)
    [told] = mistakes(tmp_path, **with_sessions(alarm={**ALARM, "url": url}))
    assert told.startswith("sessions.alarm.url: ")
