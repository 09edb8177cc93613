"""Makes what the gateway needs in a directory, unless it is there: keys, and the user alice with ALICE_PASSWORD."""

import os
import subprocess
import sys
from pathlib import Path


def main() -> None:
    house = Path(sys.argv[1])
    if not (house / "keys.json").exists():
        gateway("keys", "create", str(house / "keys.json"))
    gateway(
        *("users", "add", "--replace", "--password-stdin", "--scope", "orders:read orders:write"),
        *(str(house / "users"), "alice"),
        typed=os.environ["ALICE_PASSWORD"] + "\n",
    )


def gateway(*words: str, typed: str = "") -> None:
    subprocess.run([sys.executable, "-m", "gateway", *words], input=typed, text=True, check=True)  # noqa: S603 (our words)


if __name__ == "__main__":
    main()
