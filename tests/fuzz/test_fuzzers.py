"""The fuzzer itself: a short run over every target, and that it finds what is there to be found."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.compiled import IS_COMPILED
from tests.fuzz import running
from tests.fuzz.__main__ import main
from tests.fuzz.running import Run, is_available, run
from tests.fuzz.targets import TARGETS

needs_fuzzer = pytest.mark.skipif(
    not is_available(), reason="atheris is not installed: it has wheels for CPython 3.11 to 3.13 on Linux x86-64"
)

HARD_OF_HEARING = '''
"""A parser that takes everything but one word."""


def check(data: bytes) -> None:
    if data[:1] == b"b" and data[1:2] == b"u" and data[2:3] == b"g":
        raise ZeroDivisionError
'''


@needs_fuzzer
@pytest.mark.skipif(IS_COMPILED, reason="the fuzzer sees no ways through compiled modules: `make test-pure` runs this")
def test_a_short_run_finds_nothing(tmp_path: Path) -> None:
    def short(target: str) -> Run:
        return run(target, seconds=1, runs=400, seed=1, work=tmp_path)

    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(short, TARGETS))
    assert not [str(each) for each in runs if not each.is_clean]
    assert all(each.edges > 20 and each.executions > 20 for each in runs), runs


@needs_fuzzer
def test_a_bug_is_found_and_its_input_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a target and places of its own: the code of `guided`, on a package that is called gateway."""
    package = tmp_path / "gateway"
    package.mkdir()
    (package / "__init__.py").write_text(HARD_OF_HEARING)
    target = tmp_path / "guided_here.py"
    target.write_text(
        "import sys\n"
        "from tests.fuzz import guided\n"
        "guided.load = lambda target: __import__('gateway').check\n"
        "guided.main()\n"
    )
    root = str(Path(running.__file__).parents[2])
    done = subprocess.run(
        [sys.executable, str(target), "any", "-runs=200000", "-seed=1", f"-artifact_prefix={tmp_path}/found-"],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode != 0
    assert b"ZeroDivisionError" in done.stderr + done.stdout
    [found] = tmp_path.glob("found-*")
    assert found.read_bytes().startswith(b"bug")


def test_an_input_can_be_checked_without_the_fuzzer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "input").write_bytes(b"api.example")
    assert main(["host", "--input", str(tmp_path / "input")]) == 0
    assert "no finding" in capsys.readouterr().out


def test_a_target_that_does_not_exist_is_refused_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["hosts"]) == 2
    assert "there is no target hosts; there are answers" in capsys.readouterr().out
