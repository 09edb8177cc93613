"""The files of the console, without a browser."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.admin.console_pages import ROOT
from gateway.model.errors import Refusal
from tests.session_gateway import session_gateway

CONSOLE = Path(__file__).parents[2] / "gateway" / "admin" / "console"
HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
MOST = 160_000
"""Bytes of all files together, in both languages, as they are written."""


def scripts() -> Iterator[tuple[str, str]]:
    for file in sorted(CONSOLE.glob("*.js")):
        yield file.name, file.read_text()


def texts(language: str) -> dict[str, str]:
    found = re.findall(r'^  "([^"]+)": "(.*)",$', (CONSOLE / f"{language}.js").read_text(), re.MULTILINE)
    assert len(found) == len(dict(found)), "a text is there twice"
    return dict(found)


# --- what is served


async def test_everybody_gets_the_files_under_a_strict_policy(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as gateway:
        for path in (ROOT.rstrip("/"), ROOT, *(ROOT + file.name for file in CONSOLE.iterdir())):
            answer = await gateway.ask("GET", gateway.admin_url + path)
            assert answer.status == (308 if path == ROOT.rstrip("/") else 200), path
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
            assert "unsafe" not in policy
            for words in ("frame-ancestors 'none'", "base-uri 'none'", "require-trusted-types-for 'script'"):
                assert words in policy
            assert {name: answer.headers[name] for name in HEADERS} == HEADERS
            assert "Set-Cookie" not in answer.headers


async def test_they_are_only_read(tmp_path: Path) -> None:
    async with session_gateway(tmp_path) as gateway:
        assert (await gateway.ask("HEAD", gateway.admin_url + ROOT)).status == 200
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert (await gateway.ask(method, gateway.admin_url + ROOT)).status in {401, 405}


@pytest.mark.parametrize("path", ["console_pages.py", "../app.py", "%2e%2e/app.py", "console.css/", "x.js", "a%00.js"])
async def test_nothing_else_is_served(tmp_path: Path, path: str) -> None:
    async with session_gateway(tmp_path) as gateway:
        assert (await gateway.ask("GET", gateway.admin_url + ROOT + path)).status in {401, 404}


# --- what is in them


def test_both_languages_have_the_same_texts_with_the_same_gaps() -> None:
    english, korean = texts("en"), texts("ko")
    assert english.keys() == korean.keys()
    for key, text in english.items():
        assert set(re.findall(r"{\w+}", text)) >= set(re.findall(r"{\w+}", korean[key])), key
        assert korean[key].strip(), key


def test_every_text_that_is_asked_for_is_there() -> None:
    known = texts("en")
    for name, script in scripts():
        for key in re.findall(r'\bt\("([^"]+)"', script):
            assert key in known, f"{name}: {key}"


def test_every_text_is_asked_for() -> None:
    code = "\n".join(script for name, script in scripts() if name not in {"en.js", "ko.js"})
    prefixes = tuple(
        {*re.findall(r"`([a-z_]+[._][a-z_]*)\$\{", code), *(f"{p}." for p in re.findall(r'word\("(\w+)"', code))}
    )
    assert [key for key in texts("en") if f'"{key}"' not in code and not key.startswith(prefixes)] == []


def test_no_script_makes_markup_or_code_of_text() -> None:
    dangerous = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|setTimeout\(\s*[\"'`]|srcdoc"
    )
    for name, script in scripts():
        assert not re.search(dangerous, script), name


def test_nothing_is_loaded_from_elsewhere() -> None:
    for file in CONSOLE.iterdir():
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]+[^\s\"'`]*", file.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg", "https://api.example/orders/7"}, file.name


def test_a_token_is_kept_in_the_tab_only() -> None:
    kept = {name: re.findall(r"(\w+Storage)", script) for name, script in scripts()}
    assert {name for name, stores in kept.items() if "sessionStorage" in stores} == {"api.js"}
    assert "localStorage" not in kept["api.js"]
    assert all("document.cookie" not in script for _, script in scripts())


def test_reasons_that_are_not_the_clients_fault_are_those_with_5xx() -> None:
    listed = re.search(r"BROKEN = new Set\(\[(.*?)\]\)", (CONSOLE / "rates.js").read_text(), re.DOTALL)
    assert listed is not None
    broken = {each.reason for each in _all(Refusal) if each.status >= 500} - {"upstream_failed", "upstream_timeout"}
    assert set(re.findall(r'"(\w+)"', listed[1])) == broken


def _all(kind: type[Refusal]) -> Iterator[type[Refusal]]:
    for each in kind.__subclasses__():
        yield each
        yield from _all(each)


def test_it_is_small() -> None:
    assert sum(file.stat().st_size for file in CONSOLE.iterdir()) < MOST


# --- colours

TEXTS = [
    *((text, on) for text in ("text", "quiet", "accent") for on in ("ground", "panel", "raised")),
    *((text, f"{text}-weak") for text in ("accent", "good", "warn", "bad")),
    *((text, "panel") for text in ("good", "warn", "bad")),
    ("text", "accent-weak"),
    ("on-accent", "accent"),
    ("panel", "bad"),
    ("ground", "text"),
]
SHAPES = [(f"c{number}", "panel") for number in range(7)] + [("edge", "panel"), ("accent", "panel")]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_colours_have_the_contrast_of_wcag_aa(theme: str) -> None:
    colours = tokens()[theme]
    assert [pair for pair in TEXTS if contrast(*(colours[name] for name in pair)) < 4.5] == []
    assert [pair for pair in SHAPES if contrast(*(colours[name] for name in pair)) < 3] == []


def test_the_dark_colours_of_the_system_and_of_the_switch_are_the_same() -> None:
    assert tokens()["dark"] == tokens()["system"]


def tokens() -> dict[str, dict[str, str]]:
    css = (CONSOLE / "console.css").read_text()
    blocks = re.findall(r":root[^{]*\{(.*?)\}", css, re.DOTALL)[:3]
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block)) for block in blocks]
    return dict(zip(("light", "dark", "system"), found, strict=True))


def contrast(first: str, second: str) -> float:
    """Return the ratio of WCAG 2.2, 1.4.3."""
    lighter, darker = sorted((luminance(first), luminance(second)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def luminance(colour: str) -> float:
    red, green, blue = (int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5))
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (red, green, blue)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
