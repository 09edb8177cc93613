"""Where inputs are kept."""

from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
"""In the repository: seeds, and what fuzzing found worth keeping."""
WORK = HERE / "work"
"""What long runs find; not in the repository."""
CRASHES = HERE / "crashes"
"""Inputs that a check failed on; not in the repository."""


def inputs(directory: Path) -> list[Path]:
    """Return the files of a directory, the smallest first."""
    return sorted(
        (each for each in directory.glob("*") if each.is_file()), key=lambda each: (each.stat().st_size, each)
    )
