"""Compiled and plain modules: which run, that they are of these sources, and what happens without a C compiler."""

import ast
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Callable, Iterator
from hashlib import sha256
from importlib import import_module
from pathlib import Path

import pytest

from gateway.compiled import IS_COMPILED
from gateway.freshness import outdated

ROOT = Path(__file__).parent.parent
_WAITS = (ast.Await, ast.Yield, ast.YieldFrom, ast.AsyncWith, ast.AsyncFor)
hatch_build = pytest.importorskip("hatch_build", reason="hatchling is not installed", exc_type=ImportError)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A checkout without compiled modules."""
    shutil.copytree(ROOT / "gateway", tmp_path / "gateway", ignore=shutil.ignore_patterns("*.so", "compiled.sha256"))
    for name in ("hatch_build.py", "pyproject.toml", "config.yaml"):
        shutil.copy(ROOT / name, tmp_path)
    for name in ("README.md", "LICENSE"):
        (tmp_path / name).touch()
    return tmp_path


def run(tree: Path, *words: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if name != "GATEWAY_PURE"}
    variables = {**inherited, "PYTHONPATH": str(tree), **environment}
    return subprocess.run(
        [sys.executable, *words], cwd=tree, env=variables, capture_output=True, text=True, check=False
    )


def stamp(tree: Path, *names: str) -> None:
    """Say that compiled modules were made of these files."""
    lines = [f"{sha256((tree / name).read_bytes()).hexdigest()}  {name}\n" for name in names]
    (tree / "gateway/compiled.sha256").write_text("# of a test\n" + "".join(lines))


def test_either_all_of_the_modules_are_compiled_or_none() -> None:
    modules = [import_module(path.removesuffix(".py").replace("/", ".")) for path in hatch_build.MODULES]
    assert {str(module.__file__).endswith(".so") for module in modules} == {IS_COMPILED}


@pytest.mark.parametrize("module", hatch_build.MODULES)
def test_no_compiled_coroutine_waits_while_it_handles_an_exception(module: str) -> None:
    """mypyc leaves the exception behind for whoever runs next: it would be the cause of everything, for ever."""
    assert [node.lineno for node in _waiting_in_handlers(ast.parse((ROOT / module).read_bytes()))] == []


def _waiting_in_handlers(tree: ast.AST) -> Iterator[ast.expr | ast.stmt]:
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncWith):
            yield node
        elif isinstance(node, ast.Try | ast.TryStar):
            for part in (*node.handlers, *node.finalbody):
                yield from (each for each in _within(part) if isinstance(each, _WAITS))


def _within(node: ast.AST) -> Iterator[ast.AST]:
    """Yield the node and what is in it, but nothing of functions that it makes."""
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from _within(child)


def test_waiting_in_handlers_is_found() -> None:
    source = """async def f():
    try:
        await x()
    except X:
        await y()
    finally:
        async with z: pass
"""
    assert {node.lineno for node in _waiting_in_handlers(ast.parse(source))} == {5, 7}
    fine = "async def f():\n try: await x()\n finally: g(lambda: (yield))\n"
    assert not list(_waiting_in_handlers(ast.parse(fine)))


@pytest.mark.skipif("CI" not in os.environ, reason="anywhere else, whoever runs the tests decides")
def test_what_is_tested_is_what_users_get() -> None:
    assert IS_COMPILED is ("GATEWAY_PURE" not in os.environ)


def test_a_checkout_runs_what_was_compiled_of_its_sources(tree: Path) -> None:
    stamp(tree, "gateway/cli.py", "gateway/proxy/relay.py")
    assert outdated(str(tree)) is None
    assert run(tree, "-m", "gateway", "--version").returncode == 0


@pytest.mark.parametrize("change", [lambda path: path.write_text("pass\n"), lambda path: path.unlink()])
def test_a_checkout_does_not_run_what_was_compiled_of_other_sources(
    tree: Path, change: Callable[[Path], object]
) -> None:
    stamp(tree, "gateway/cli.py", "gateway/proxy/relay.py")
    change(tree / "gateway/proxy/relay.py")
    done = run(tree, "-m", "gateway", "--version")
    wanted = (
        "gateway/proxy/relay.py has changed since it was compiled: run `make compiled`, or `make pure` to do without\n"
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", wanted)


def test_a_touched_file_is_no_other_file(tree: Path) -> None:
    """As after `git checkout` there and back."""
    stamp(tree, "gateway/proxy/relay.py")
    os.utime(tree / "gateway/proxy/relay.py", (1, 1))
    assert outdated(str(tree)) is None


def test_where_nothing_was_compiled_there_is_nothing_to_compare(tree: Path) -> None:
    assert outdated(str(tree)) is None


def test_constants_of_modules_that_are_imported_count_as_source() -> None:
    """They become part of the compiled code."""
    assert Path("gateway/model/errors.py") in hatch_build.sources()


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({"CC": "no-such-compiler"}, "there is no C compiler"), ({"GATEWAY_PURE": "1"}, "GATEWAY_PURE is set")],
)
def test_without_a_compiler_a_checkout_is_plain_python_as_a_whole(
    tree: Path, environment: dict[str, str], reason: str
) -> None:
    (tree / "gateway/hot__mypyc.cpython-311-x86_64-linux-gnu.so").touch()
    (tree / "gateway/proxy/relay.cpython-311-x86_64-linux-gnu.so").touch()
    stamp(tree, "gateway/cli.py")
    done = run(tree, "hatch_build.py", **environment)
    assert done.returncode == 0
    assert done.stderr.startswith("The gateway runs as plain Python, at half the speed: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not [*tree.rglob("*.so"), *tree.rglob("compiled.sha256")]


def test_the_same_sources_give_the_same_wheel_wherever_they_lie(
    tree: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = tmp_path_factory.mktemp("somewhere") / "else"
    shutil.copytree(tree, other)
    for file in other.rglob("*.py"):
        os.utime(file, (0, 0))
    wheels = []
    for each in (tree, other):
        words = ("-m", "hatchling", "build", "-t", "wheel")
        done = run(each, *words, GATEWAY_PURE="1", SOURCE_DATE_EPOCH="1700000000")
        assert done.returncode == 0, done.stderr
        [wheel] = (each / "dist").iterdir()
        wheels.append(wheel.read_bytes())
    assert wheels[0] == wheels[1]


def test_without_a_compiler_a_wheel_fits_every_platform(tree: Path) -> None:
    done = run(tree, "-m", "hatchling", "build", "-t", "wheel", CC="no-such-compiler")
    assert done.returncode == 0, done.stderr
    [wheel] = (tree / "dist").iterdir()
    assert wheel.name.endswith("-py3-none-any.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert not [name for name in names if name.endswith(".so")]
    assert {"gateway/py.typed", "gateway/proxy/relay.py", "gateway/commands/config.yaml"} <= set(names)


def test_one_version_of_the_compiler_is_used_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert set(project["build-system"]["requires"]) <= set(project["dependency-groups"]["build"])
