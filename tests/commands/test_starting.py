"""What a process does before it serves."""

import subprocess
import sys

_LOOK = """
import os, sys
from gateway.commands.starting import fill_standard_streams
fill_standard_streams()
print("to nobody", file=sys.stderr)
links = [os.readlink(f"/proc/self/fd/{number}") for number in (0, 1, 2)]
os.write(9, f"{links} {[os.get_inheritable(number) for number in (0, 1, 2)]}".encode())
"""


def test_standard_streams_that_are_closed_do_not_become_connections() -> None:
    command = ["sh", "-c", 'exec "$@" 9>&1 <&- >&- 2>&-', "sh", sys.executable, "-c", _LOOK]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert output == f"{['/dev/null'] * 3} {[True] * 3}"
