"""`gateway check`: every mistake, or the routes as they work."""

import subprocess
import sys
from pathlib import Path

import pytest

from gateway import __version__
from gateway.cli import COMMANDS, main
from gateway.commands.check import checked, notes, routes_table
from gateway.commands.showing.table import table
from gateway.compiled import IS_COMPILED
from gateway.config.load import load_text
from gateway.config.mistakes import ConfigMistakes

GOOD = """\
listen: [{address: 127.0.0.1:8080}]
inject: [{header: X-User, claim: sub}]
authenticators:
  staff: {type: jwt, issuer: "https://id.example", audiences: [api], discovery: true}
upstreams:
  orders: {targets: ["http://127.0.0.1:9000"]}
routes:
  - {id: rest, match: {path: /**}, access: public, upstream: orders}
  - {id: orders, match: {path: /orders/**}, upstream: orders, require: [{scopes: [read]}, {principal: user}]}
  - {id: order, match: {path: "/orders/{id}"}, upstream: orders, access: optional, inject: []}
  - {id: new, match: {path: "/orders/{id}", methods: [PUT, POST]}, upstream: orders}
  - {id: export, match: {path: /orders/export}, upstream: orders}
  - {id: any, match: {path: /a, hosts: ["*.example.com"]}, upstream: orders}
  - {id: exact, match: {path: /a, hosts: [api.example.com]}, upstream: orders}
"""

GOOD_TABLE = """\
ROUTE   HOSTS            PATH            METHODS    ACCESS     AUTHENTICATORS  REQUIRE             INJECT  UPSTREAM
exact   api.example.com  /a              any        protected  staff           -                   X-User  orders
any     *.example.com    /a              any        protected  staff           -                   X-User  orders
export  any              /orders/export  any        protected  staff           -                   X-User  orders
new     any              /orders/{id}    PUT, POST  protected  staff           -                   X-User  orders
order   any              /orders/{id}    any        optional   staff           -                   -       orders
orders  any              /orders/**      any        protected  staff           scope read; a user  X-User  orders
rest    any              /**             any        public     -               -                   -       orders
"""


def written(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return file


def test_the_routes_are_shown_as_they_work_with_the_most_specific_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path, GOOD)
    assert main(["check", str(file)]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    summary = f"{file} is valid: 7 routes, 1 upstream, 1 authenticator, 1 listener"
    assert output.out.startswith(GOOD_TABLE)
    assert output.out.endswith(f"\n{summary}\n")


def test_a_protected_path_beside_a_public_one_is_pointed_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", str(written(tmp_path, GOOD))]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert lines == [
        'note: any protects /a, but /a/ is taken by the public route rest; "/a/**" protects both',
        'note: exact protects /a, but /a/ is taken by the public route rest; "/a/**" protects both',
    ]


def test_a_protected_path_with_a_slash_is_compared_with_the_one_without(tmp_path: Path) -> None:
    snapshot = checked(written(tmp_path, GOOD.replace("path: /orders/export", "path: /export/")), {})
    assert any("/export/, but /export is taken by the public route rest" in note for note in notes(snapshot.routes))


def test_every_mistake_is_on_standard_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path, GOOD.replace("upstream: orders, access: optional", "upstream: ordres, access: some"))
    assert main(["check", str(file)]) == 1
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err == (
        f'{file}:10: routes[2].access: must be "protected", "optional" or "public", not "some"\n'
        f'{file}:10: routes[2].upstream: unknown upstream "ordres"; did you mean "orders"?\n'
    )


def test_accepted_weaknesses_are_in_the_summary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(written(tmp_path, "insecure: [no_audience, http_issuer]\n" + GOOD))]) == 0
    assert capsys.readouterr().out.endswith("; accepted weaknesses: http_issuer, no_audience\n")


def test_variables_come_from_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, GOOD.replace("127.0.0.1:8080", '"${GATEWAY_TEST_ADDRESS}"'))
    assert main(["check", str(file)]) == 1
    monkeypatch.setenv("GATEWAY_TEST_ADDRESS", "127.0.0.1:80")
    assert main(["check", str(file)]) == 0


def test_what_only_the_compiler_finds_has_its_line_too(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD.replace("discovery: true", "jwks_file: missing.json"))
    with pytest.raises(ConfigMistakes) as caught:
        checked(file, {})
    assert str(caught.value).startswith(f"{file}:4: authenticators.staff.jwks_file: cannot read missing.json")


def test_routes_that_can_never_be_told_apart_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ConfigMistakes) as caught:
        checked(written(tmp_path, GOOD.replace(", methods: [PUT, POST]", "")), {})
    assert [mistake.line for mistake in caught.value.mistakes] == [11]


def test_a_table_fits_the_width_by_wrapping_the_widest_cells() -> None:
    rows = [("a", "one two three four five"), ("b", "x")]
    assert table(("N", "WORDS"), rows, None).splitlines()[1] == "a  one two three four five"
    assert table(("N", "WORDS"), rows, 15).splitlines() == [
        "N  WORDS",
        "a  one two",
        "   three four",
        "   five",
        "b  x",
    ]


def test_a_table_that_cannot_fit_without_breaking_words_becomes_records() -> None:
    rows = [("orders", "/orders/**", "staff and partners"), ("health", "/health", "-")]
    assert table(("ROUTE", "PATH", "WHO"), rows, 20).splitlines() == [
        "orders",
        "  path   /orders/**",
        "  who    staff and",
        "         partners",
        "",
        "health",
        "  path   /health",
    ]


def test_a_rewrite_is_shown_beside_its_upstream() -> None:
    rewrites = {"{strip_prefix: /orders}": "(/orders -> /)", "{replace_prefix: [/orders, /v2]}": "(/orders -> /v2)"}
    for rewrite, shown in rewrites.items():
        config = load_text(GOOD.replace("path: /orders/**}", f"path: /orders/**}}, rewrite: {rewrite}"), {}).config
        assert f"orders {shown}" in routes_table(config, None)


def test_the_routes_fit_a_terminal() -> None:
    config = load_text(GOOD.replace("scopes: [read]", f"scopes: [{', '.join(['orders.read'] * 9)}]"), {}).config
    assert max(map(len, routes_table(config, 110).splitlines())) <= 110


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"gateway {__version__} ({'compiled' if IS_COMPILED else 'plain Python'})\n"


@pytest.mark.parametrize("words", [[], ["unknown"], ["check"]])
def test_wrong_usage_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert "usage: gateway" in capsys.readouterr().err


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    output = capsys.readouterr().out
    assert all(f"    {name} " in output for name in ("check", "schema"))


def test_checking_imports_no_other_command(tmp_path: Path) -> None:
    file = written(tmp_path, GOOD)
    others = [f"gateway.commands.{name}" for name in COMMANDS if name != "check"]
    check = f"import sys; from gateway.cli import main; main(['check', {str(file)!r}])"
    script = f"{check}; print(set({others}) & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_the_package_runs_as_a_module() -> None:
    done = subprocess.run([sys.executable, "-m", "gateway", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"gateway {__version__} (")


def test_bad_certificate_authorities_for_issuers_are_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("junk")
    with pytest.raises(ConfigMistakes) as caught:
        checked(written(tmp_path, "fetch: {ca: ca.pem}\n" + GOOD), {})
    [mistake] = caught.value.mistakes
    assert (mistake.line, mistake.path) == (1, "fetch.ca")
