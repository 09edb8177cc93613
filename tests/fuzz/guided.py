"""One coverage-guided run, in a process of its own: `python -m tests.fuzz.guided TARGET [libFuzzer options]`.

The gateway's code is instrumented as it is imported; so nothing here may import it before.
"""

import sys

import atheris

from tests.fuzz.targets import load


def main() -> None:
    """Fuzz until libFuzzer has enough, or a check fails."""
    with atheris.instrument_imports(include=["gateway"]):
        check = load(sys.argv[1])
    atheris.Setup([sys.argv[0], *sys.argv[2:]], check)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
