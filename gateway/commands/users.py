"""`gateway users`: the file of users who can log in at the gateway."""

import argparse
import getpass
import json
import shutil
import sys
from pathlib import Path
from typing import Any, Final

from gateway.commands.keeping.files import create_file, replacing
from gateway.commands.keeping.user_lines import with_user, without_user
from gateway.commands.showing.table import table
from gateway.mechanisms.logins.base import MAX_PASSWORD, as_bytes, as_compared
from gateway.mechanisms.logins.hashes import ALGORITHMS, NEW_COST, CannotVerify, UnusableHash, decoy, new_hash
from gateway.mechanisms.logins.users_document import BadUser, User, Users, check_name, read_users, write_user

SHORTEST: Final = 8
"""Characters of a password (NIST SP 800-63B §5.1.1)."""


class _NoPassword(Exception):
    """What was typed cannot be a password."""


def add(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    parser = subparsers.add_parser("users", help="keep the file of users who can log in")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    new = actions.add_parser("add", help="add a user", description="Add a user. Makes the file if there is none.")
    show = actions.add_parser("list", help="show the users", description="Show the users, without their hashes.")
    remove = actions.add_parser("remove", help="remove a user", description="Remove a user. Sessions do not end.")
    check = actions.add_parser("check", help="check a password", description="Exit status 1 if it is wrong.")
    for action in (new, show, remove, check):
        action.add_argument("file", type=Path, metavar="FILE", help="as in the setting sessions.login.users.file")
    for action in (new, remove, check):
        action.add_argument("name", metavar="NAME", help="compared exactly, but for composed letters (NFC)")
    for action in (new, check):
        action.add_argument(
            "--password-stdin", action="store_true", help="the first line of standard input; asked for if left out"
        )
    new.add_argument("--sub", help="the subject of the tokens; the name if left out")
    new.add_argument("--scope", help="what the user may do: words with spaces between")
    new.add_argument("--claims", type=_object, metavar="JSON", help="more claims of the tokens: a JSON object")
    new.add_argument("--algorithm", choices=ALGORITHMS, default="argon2id", help="argon2id if left out")
    new.add_argument("--replace", action="store_true", help="replace the user, with all that is known of it")
    new.add_argument("--weak", action="store_true", help=f"accept a password of fewer than {SHORTEST} characters")
    show.add_argument("--json", action="store_true", help="for programs")


def run(arguments: argparse.Namespace) -> int:
    """Exit status 1 if a file, a name or a password cannot be used, or the checked password is wrong."""
    action = {"add": _add, "list": _list, "remove": _remove, "check": _check}[arguments.action]
    try:
        return action(arguments)
    except OSError as error:
        print(f"{error.filename}: {error.strerror}" if error.filename else error, file=sys.stderr)
    except (BadUser, CannotVerify, _NoPassword) as error:
        print(f"{arguments.file}: {error}", file=sys.stderr)
    return 1


def _add(arguments: argparse.Namespace) -> int:
    name = check_name(arguments.name)
    file: Path = arguments.file
    exists = file.exists()
    if exists and not arguments.replace:
        with_user(file.read_bytes(), name, "", replace=False)  # before anybody has to type a password
    password = _new_password(arguments)
    try:
        hashed = new_hash(as_bytes(password), arguments.algorithm)
    except UnusableHash as error:
        raise _NoPassword(f"the hash {error}") from error
    members = {"sub": arguments.sub, "scope": arguments.scope, "claims": arguments.claims}
    line = write_user(name, hashed, {key: value for key, value in members.items() if value is not None})
    if not exists:
        create_file(file, f"{line}\n".encode())
        return 0
    with replacing(file) as replacement:
        content = with_user(replacement.content, name, line, replace=arguments.replace)
        replacement.write(content)
    _warn(file, read_users(content))
    return 0


def _remove(arguments: argparse.Namespace) -> int:
    with replacing(arguments.file) as replacement:
        content = without_user(replacement.content, check_name(arguments.name))
        replacement.write(content)
    _warn(arguments.file, read_users(content))
    return 0


def _list(arguments: argparse.Namespace) -> int:
    users = read_users(arguments.file.read_bytes())
    shown = [_shown(user) for user in users.by_name.values()]
    if arguments.json:
        print(json.dumps(shown, indent=2))
    elif shown:
        rows = [
            (each["name"], each["sub"], each["scope"] or "-", json.dumps(each["claims"]), each["hash"])
            for each in shown
        ]
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(table(("NAME", "SUB", "SCOPE", "CLAIMS", "HASH"), rows, width))
    _warn(arguments.file, users)
    return 1 if users.mistakes else 0


def _check(arguments: argparse.Namespace) -> int:
    users = read_users(arguments.file.read_bytes())
    _warn(arguments.file, users)
    user = users.by_name.get(as_compared(arguments.name))
    password = as_bytes(_password(arguments, "Password: "))
    is_right = (decoy(NEW_COST) if user is None else user.hash).verify(password)
    if user is None or not is_right:
        print("the user name or the password is wrong", file=sys.stderr)
        return 1
    print("the password is right")
    return 0


def _shown(user: User) -> dict[str, Any]:
    who = user.user
    return {
        "name": user.name,
        "sub": who.subject,
        "scope": who.scope,
        "claims": dict(who.claims),
        "hash": str(user.hash.cost),
    }


def _warn(file: Path, users: Users) -> None:
    for mistake in users.mistakes:
        print(f"{file}, {mistake}", file=sys.stderr)


def _new_password(arguments: argparse.Namespace) -> str:
    password = _password(arguments, "New password: ")
    if not arguments.password_stdin and getpass.getpass("Again: ") != password:
        raise _NoPassword("the two are not the same")
    if not password:
        raise _NoPassword("a password must not be empty")
    if len(password) < SHORTEST and not arguments.weak:
        raise _NoPassword(f"a password of fewer than {SHORTEST} characters is soon guessed; --weak accepts it")
    return password


def _password(arguments: argparse.Namespace, prompt: str) -> str:
    """Return what was typed, or the first line of standard input, as UTF-8 wherever it runs."""
    if not arguments.password_stdin:
        password = getpass.getpass(prompt)
    else:
        try:
            password = sys.stdin.buffer.readline().decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise _NoPassword("a password must be UTF-8") from error
    if len(as_bytes(password)) > MAX_PASSWORD:
        raise _NoPassword(f"a password has at most {MAX_PASSWORD} bytes")
    return password


def _object(text: str) -> dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError("must be a JSON object")
    return value
