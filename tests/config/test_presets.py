"""The presets are good configurations, and say no more than they must."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from gateway.cli import main
from gateway.config.document import read_document
from gateway.config.load import load_config
from gateway.config.mistakes import SettingPath
from tests.issuing import Clock
from tests.trips.session_running import PRESETS, preset, write_files

NAMES = sorted(file.stem for file in PRESETS.glob("*.yaml"))
SEEDS = [f"seed{number}" for number in range(5)]


def test_there_is_a_preset_for_each_text() -> None:
    assert set(SEEDS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_a_good_configuration(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """With keys and users made as the documentation says; it asks for nothing else."""
    assert main(["keys", "create", str(tmp_path / "keys.json")]) == 0
    write_files(tmp_path, Clock(0))
    file = tmp_path / f"{name}.yaml"
    file.write_text(preset(name))
    assert main(["check", str(file)]) == 0
    assert f"{file} is valid" in capsys.readouterr().out


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_sets_a_default_only_where_it_says_so(name: str) -> None:
    """A line with a setting that says what holds anyway has a comment with the word default: what it is there for."""
    text = preset(name)
    document = read_document(text, {}, name)
    config = load_config(PRESETS / f"{name}.yaml", {}).config
    said = {number for number, line in enumerate(text.splitlines(), 1) if re.search(r"\S.*#.*\bdefault", line)}
    found = {path for path in defaults(config, document.data) if path not in document.from_environment}
    assert {path for path in found if document.lines[path] not in said} == set()
    assert said == {document.lines[path] for path in found}


def defaults(model: BaseModel, data: dict[str, Any], path: SettingPath = ()) -> Iterator[SettingPath]:
    """Yield the settings in a document that are what they would be anyway."""
    for name, given in data.items():
        value, field = getattr(model, name), type(model).model_fields[name]
        parts = list(_parts(value, given))
        for key, part, given_part in parts:
            yield from defaults(part, given_part, (*path, name, *key))
        if not parts and not field.is_required() and value == field.get_default(call_default_factory=True):
            yield (*path, name)


def _parts(value: Any, given: Any) -> Iterator[tuple[SettingPath, BaseModel, dict[str, Any]]]:
    """Yield the settings models in a value, with what the document says of each."""
    if isinstance(value, BaseModel) and isinstance(given, dict):
        yield (), value, given
    pairs: list[tuple[str | int, Any]] = []
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, tuple) and isinstance(given, list):
        pairs = list(enumerate(value))
    for key, member in pairs:
        if isinstance(member, BaseModel) and isinstance(given[key], dict):
            yield (key,), member, given[key]


def test_the_check_for_defaults_finds_one(tmp_path: Path) -> None:
    text = preset("seed3").replace("access: {lifetime: 5m}", "access: {lifetime: 10m}")
    (tmp_path / "x.yaml").write_text(text)
    found = set(defaults(load_config(tmp_path / "x.yaml", {}).config, read_document(text, {}, "x").data))
    assert found == {("sessions", "access", "lifetime"), ("admin", "address")}


def test_every_requirement_has_a_test() -> None:
    """R1 to R44."""
    files = (Path(__file__).parents[1] / "trips").glob("test_preset*.py")
    text = "\n".join(file.read_text() for file in files)
    docstrings = re.findall(r'-> None:\n    """(.*?)"""', text, re.DOTALL)
    named = {int(number) for docstring in docstrings for number in re.findall(r"\bR(\d+)\b", docstring)}
    assert named == set(range(1, 45))
