"""What the next configuration takes over from the one before, and what it must not."""

from collections.abc import Mapping
from pathlib import Path

from gateway.config.mistakes import SettingPath
from gateway.config.reuse import Built, Workshop, files_in
from gateway.mechanisms.base import offline_resources
from gateway.model.settings import FilePath, Settings

PLACE = ("upstreams", "app")


class Part(Settings):
    file: FilePath | None = None
    several: tuple[FilePath, ...] = ()
    by_name: dict[str, FilePath] = {}
    number: int = 0


def build(
    directory: Path, settings: Part, former: Mapping[SettingPath, Built] | None = None, *context: object
) -> tuple[object, dict[SettingPath, Built]]:
    """Return the part for the settings, and what the next workshop gets."""
    workshop = Workshop(offline_resources(directory), former or {})
    return workshop.part(PLACE, settings, object, *context), workshop.built


def test_the_same_settings_give_the_same_part(tmp_path: Path) -> None:
    first, built = build(tmp_path, Part(number=1))
    second, again = build(tmp_path, Part(number=1), built)
    third, _ = build(tmp_path, Part(number=1), again)
    assert first is second is third


def test_other_settings_another_content_or_another_context_give_another_part(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"first")
    settings = Part(file=Path("a"))
    first, built = build(tmp_path, settings, None, "context")
    assert build(tmp_path, settings, built, "context")[0] is first
    assert build(tmp_path, settings, built, "other")[0] is not first
    assert build(tmp_path, Part(file=Path("a"), number=1), built, "context")[0] is not first
    (tmp_path / "a").write_bytes(b"second")
    assert build(tmp_path, settings, built, "context")[0] is not first
    (tmp_path / "a").unlink()
    assert build(tmp_path, settings, built, "context")[0] is not first


def test_new_parts_are_those_that_were_not_taken_over(tmp_path: Path) -> None:
    first, built = build(tmp_path, Part())
    workshop = Workshop(offline_resources(tmp_path), built)
    assert workshop.part(PLACE, Part(), object) is first
    new = workshop.part(("listen",), Part(), object)
    assert list(workshop.new_parts()) == [new]


def test_a_former_part_is_only_given_to_the_same_context(tmp_path: Path) -> None:
    first, built = build(tmp_path, Part(), None, "context")
    workshop = Workshop(offline_resources(tmp_path), built)
    assert workshop.former_part(PLACE, "context") is first
    assert workshop.former_part(PLACE, "other") is None
    assert workshop.former_part(("elsewhere",), "context") is None


def test_every_file_in_settings_is_found() -> None:
    settings = Part(file=Path("a"), several=(Path("b"), Path("c")), by_name={"d": Path("d")})
    assert sorted(map(str, files_in({"x": (settings,)}))) == ["a", "b", "c", "d"]
