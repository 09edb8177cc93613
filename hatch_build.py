"""Compiles the modules that a proxied request passes through: with mypyc, to C, all of them or none.

The build hook of hatchling puts the compiled modules into wheels, beside their sources; `make compiled` puts them into
the checkout, by `python hatch_build.py`. Without a C compiler, without mypyc, or with GATEWAY_PURE=1 nothing is
compiled: the modules are plain Python, do the same, and take twice the time.
"""

import ast
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import chdir, redirect_stderr, redirect_stdout
from hashlib import sha256
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

MODULES = (
    "gateway/compiled.py",
    "gateway/model/bounded.py",
    "gateway/model/decision.py",
    "gateway/model/host.py",
    "gateway/model/memo.py",
    "gateway/model/principal.py",
    "gateway/model/request.py",
    "gateway/model/revocation.py",
    "gateway/engine/answer_contract.py",
    "gateway/engine/ending.py",
    "gateway/engine/exchange.py",
    "gateway/engine/finishing.py",
    "gateway/engine/forwarding.py",
    "gateway/engine/gatekeeper.py",
    "gateway/engine/headers.py",
    "gateway/engine/outcomes.py",
    "gateway/engine/paths.py",
    "gateway/engine/revoked.py",
    "gateway/engine/routes.py",
    "gateway/engine/sessions.py",
    "gateway/config/compile_upstreams.py",
    "gateway/config/snapshot.py",
    "gateway/mechanisms/authenticators/principals.py",
    "gateway/mechanisms/authorization.py",
    "gateway/model/tally.py",
    "gateway/tokens/base64url.py",
    "gateway/tokens/cache.py",
    "gateway/tokens/issue.py",
    "gateway/tokens/jose.py",
    "gateway/tokens/refresh_token.py",
    "gateway/tokens/signing.py",
    "gateway/tokens/strict_json.py",
    "gateway/state/marks.py",
    "gateway/state/records.py",
    "gateway/state/redis_line.py",
    "gateway/state/redis_scripts.py",
    "gateway/state/redis_store.py",
    "gateway/state/revocations.py",
    "gateway/state/settled.py",
    "gateway/timed_state.py",
    "gateway/telemetry/decisions.py",
    "gateway/telemetry/session_tally.py",
    "gateway/endpoints/answers.py",
    "gateway/endpoints/app.py",
    "gateway/endpoints/clients.py",
    "gateway/endpoints/context.py",
    "gateway/endpoints/exchanging.py",
    "gateway/endpoints/forms.py",
    "gateway/endpoints/token.py",
    "gateway/proxy/answer_heads.py",
    "gateway/proxy/answer_writer.py",
    "gateway/proxy/client.py",
    "gateway/proxy/deadlines.py",
    "gateway/proxy/doors.py",
    "gateway/proxy/heads.py",
    "gateway/proxy/inside.py",
    "gateway/proxy/pace.py",
    "gateway/proxy/plane.py",
    "gateway/proxy/pool.py",
    "gateway/proxy/reading.py",
    "gateway/proxy/recorder.py",
    "gateway/proxy/relay.py",
    "gateway/proxy/rounds.py",
    "gateway/proxy/targets.py",
    "gateway/proxy/traced_relay.py",
    "gateway/proxy/tunnel.py",
    "gateway/proxy/upstream.py",
)
"""What is compiled. A class in them that is called for every request must not derive from an interpreted one."""

_MYPY = ("--config-file=", "--no-site-packages", "--ignore-missing-imports", "--follow-imports=silent")
"""The types of other projects make nothing faster. So a build needs none of them, and comes out the same everywhere."""
_COMPILER = ["-fvisibility=hidden", "-Wno-error"]
"""Calls between the modules need no indirection, and a compiler that warns of more than was known stops nothing."""
_LEVEL = "2"
"""Of optimisation. At 1, compiling takes a fifth less time, and requests a tenth more."""
_LIBRARY = "gateway.hot"
"""The code of all modules is in the library `gateway/hot__mypyc…`; beside each module there is a stub that finds it."""
_STAMP = Path("gateway/compiled.sha256")
"""What the compiled modules of this checkout were made of. `gateway.freshness` compares it with what is there."""


class CustomBuildHook(BuildHookInterface[Any]):
    """Puts the compiled modules into a wheel. An editable one has none: there, `make compiled` does it."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if self.target_name != "wheel" or version == "editable":
            return
        with chdir(self.root):
            if (reason := why_pure()) is not None:
                self.app.display_warning(f"nothing is compiled: {reason}")
                return
            built = Path(self.directory, "compiled")
            for path in compile_into(built):
                build_data["force_include"][str(built / path)] = str(path)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        shutil.rmtree(Path(self.directory, "compiled"), ignore_errors=True)


def compile_here() -> None:
    """Let the checkout have compiled modules of its sources as they are, or none."""
    if (reason := why_pure()) is not None:
        remove()
        _say(f"The gateway runs as plain Python, at half the speed: {reason}.")
        return
    wanted = _stamp()
    if _STAMP.exists() and _STAMP.read_text() == wanted:
        return
    _say(f"Compiling {len(MODULES)} modules; it takes about a minute …")
    with tempfile.TemporaryDirectory() as directory:
        built = compile_into(Path(directory))
        remove()
        for path in built:  # the library at last: without it, none of the others can be imported
            shutil.copy(directory / path, path)
    _STAMP.write_text(wanted)


def remove() -> None:
    """Let the checkout be plain Python."""
    _STAMP.unlink(missing_ok=True)
    for path in Path("gateway").rglob("*.so"):
        path.unlink()


def why_pure() -> str | None:
    """Return why nothing can be compiled here, or shall be; None if it can."""
    if os.environ.get("GATEWAY_PURE"):
        return "GATEWAY_PURE is set"
    if sys.implementation.name != "cpython":
        return "only CPython can run compiled modules"
    if find_spec("mypyc") is None or find_spec("setuptools") is None:
        return "mypyc or setuptools is not installed"
    if not _has_compiler():
        return "there is no C compiler, or it lacks the headers of this Python"
    return None


def _has_compiler() -> bool:
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory, "probe.c")
        source.write_text("#include <Python.h>\n")
        command = [*compiler, f"-I{sysconfig.get_path('include')}", "-c", str(source), "-o", f"{source}.o"]
        try:
            return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603 - our own words
        except OSError:
            return False


def compile_into(directory: Path) -> list[Path]:
    """Compile the modules; return the paths of what was made, in `directory`, the library last."""
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    class SideBySide(build_ext):  # type: ignore[misc]
        """Compiles the files of a library side by side: it takes half the time on two cores."""

        def build_extensions(self) -> None:
            one_by_one = self.compiler.compile

            def compile_all(sources: Sequence[str], *arguments: Any, **options: Any) -> list[str]:
                with ThreadPoolExecutor(self.parallel) as pool:
                    objects = pool.map(lambda source: one_by_one([source], *arguments, **options), sources)
                    return [name for names in objects for name in names]

            self.compiler.compile = compile_all
            super().build_extensions()

    with tempfile.TemporaryDirectory() as scratch:
        extensions = _translate(scratch)
        for extension in extensions:
            extension.extra_compile_args += _COMPILER
            extension.include_dirs.append(os.path.join(scratch, "gateway"))
        command = SideBySide(Distribution({"name": "gateway", "ext_modules": extensions}))
        command.build_lib, command.build_temp, command.parallel = str(directory), scratch, os.cpu_count()
        command.ensure_finalized()
        command.run()
    library = _LIBRARY.rpartition(".")[2]
    made = [path.relative_to(directory) for path in directory.rglob("*.so")]
    return sorted(made, key=lambda path: path.name.startswith(library))


def _translate(scratch: str) -> list[Any]:
    """Write the C code; one file for each module, so that they can be compiled side by side."""
    from mypyc.build import mypycify

    with redirect_stdout(StringIO()) as told, redirect_stderr(told):
        try:
            return mypycify(
                [*_MYPY, *MODULES],
                opt_level=_LEVEL,
                debug_level="0",
                multi_file=True,
                target_dir=scratch,
                group_name=_LIBRARY,
            )
        except SystemExit as failure:
            raise SystemExit(told.getvalue()) from failure


def _say(what: str) -> None:
    sys.stderr.write(f"{what}\n")
    sys.stderr.flush()


def _stamp() -> str:
    """Return what modules that are compiled now are made of, in the format of `sha256sum`."""
    lines = [f"# {sys.implementation.cache_tag}, mypy {version('mypy')}, level {_LEVEL}"]
    lines += [f"{sha256(path.read_bytes()).hexdigest()}  {path}" for path in sorted(sources())]
    return "\n".join(lines) + "\n"


def sources() -> set[Path]:
    """Return this file, the modules, and what they import of the package: its constants become part of their code."""
    found = {Path("hatch_build.py"), *map(Path, MODULES)}
    for module in MODULES:
        for node in ast.walk(ast.parse(Path(module).read_bytes())):
            if isinstance(node, ast.ImportFrom) and node.module is not None:
                names = (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
                paths = (Path(*name.split(".")).with_suffix(".py") for name in names)
                found.update(path for path in paths if path.parts[0] == "gateway" and path.exists())
    return found


if __name__ == "__main__":
    compile_here()
