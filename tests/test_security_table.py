"""docs/security.md lists the advisories that were tried, and the tests that tried them: neither without the other."""

import re
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
_TEST = re.compile(r"^ *(?:async )?def (test_\w+)", re.MULTILINE)
_ID = re.compile(r"CVE-\d{4}-\d{4,}|GHSA(?:-[a-z0-9]{4}){3}")


def names_in(pattern: str) -> set[str]:
    """Return the names of the tests in some files."""
    return {name for file in TESTS.glob(pattern) for name in _TEST.findall(file.read_text())}


def rows() -> Iterator[tuple[str, list[str], str]]:
    """Return the rows of the table: the advisory, the tests, what became of it."""
    lines = PAGE.partition("| advisory | product |")[2].splitlines()[2:]
    for line in lines[: lines.index("")]:
        advisory, _, _, tests, result = (cell.strip() for cell in line.strip("|").split("|"))
        yield advisory, re.findall(r"`(test_\w+)`", tests), result


def test_every_advisory_is_tried_or_cannot_apply() -> None:
    for advisory, tests, result in rows():
        assert tests or result.startswith(("cannot apply: ", "not tried: ")), advisory


def test_a_test_is_named_after_its_advisory() -> None:
    for advisory, tests, _ in rows():
        if found := _ID.match(advisory):
            name = found[0].lower().replace("-", "_")
            assert all(test.startswith(f"test_{name}_") for test in tests), advisory


def test_no_advisory_is_listed_twice() -> None:
    listed = [found for advisory, _, _ in rows() for found in _ID.findall(advisory)]
    assert len(listed) == len(set(listed)) > 90


def test_every_test_of_an_advisory_is_listed_and_every_listed_one_exists() -> None:
    listed = {test for _, tests, _ in rows() for test in tests}
    assert listed == names_in("trips/test_advisories_*.py")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    assert named <= names_in("**/test_*.py")
