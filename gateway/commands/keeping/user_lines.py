"""What becomes of a users file: one with a new user, one without a user. All other lines stay as they are."""

from gateway.mechanisms.logins.users_document import BadUser, check_name, lines_of, name_on


def with_user(content: bytes, name: str, line: str, *, replace: bool) -> bytes:
    """Return the file with the line of a user: at its end, or in the place of the one there is.

    Raises BadUser if there is one and it shall not be replaced.
    """
    lines = _lines(content)
    places = _places(lines, name)
    if places and not replace:
        raise BadUser(f"there is a user {name} already; --replace replaces it")
    if places:
        lines[places[0]] = line
    else:
        lines.append(line)
    return _content(_without(lines, places[1:]))


def without_user(content: bytes, name: str) -> bytes:
    """Return the file without a user. Raises BadUser if there is none."""
    lines = _lines(content)
    places = _places(lines, name)
    if not places:
        raise BadUser(f"there is no user {name}")
    return _content(_without(lines, places))


def _lines(content: bytes) -> list[str]:
    try:
        return lines_of(content.decode()) if content else []
    except UnicodeDecodeError as error:
        raise BadUser("the file is not UTF-8") from error


def _places(lines: list[str], name: str) -> list[int]:
    checked = check_name(name)
    return [place for place, line in enumerate(lines) if name_on(line) == checked]


def _without(lines: list[str], places: list[int]) -> list[str]:
    return [line for place, line in enumerate(lines) if place not in places]


def _content(lines: list[str]) -> bytes:
    return "".join(f"{line}\n" for line in lines).encode()
