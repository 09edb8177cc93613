"""The tools that look at `deploy/`. A test that needs one that is not here is skipped, and says so."""

import os
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
_TOOLS = ROOT / ".venv-deploy" / "bin"


def tool(name: str) -> str:
    """Return where a tool is."""
    found = shutil.which(name, path=f"{_TOOLS}{os.pathsep}{os.environ['PATH']}")
    if found is None:
        pytest.skip(f"{name} is not here (make deploy-tools, or your package manager)")
    return found


def python_with_tools() -> str:
    """Return the Python that has Helm and the schemas of Kubernetes."""
    python = _TOOLS / "python"
    if not (python.parent.parent / "deploy.done").exists():
        pytest.skip("the tools for Kubernetes are not here (make deploy-tools)")
    return str(python)
