"""A users file gives users and mistakes, one for each line that means something; no message shows a hash."""

from gateway.mechanisms.logins.users_document import BadUser, lines_of, name_on, read_user, read_users, write_user


def check(data: bytes) -> None:
    users = read_users(data)
    try:
        lines = lines_of(data.decode("utf-8"))
    except UnicodeDecodeError:
        assert len(users.mistakes) == 1
        assert not users.by_name
        return
    meaning = [line for line in lines if name_on(line) is not None]
    assert len(meaning) == len(users.by_name) + len(users.mistakes)
    for mistake in users.mistakes:
        number, _, message = mistake.removeprefix("line ").partition(": ")
        assert 1 <= int(number) <= len(lines)
        assert message.isprintable()
        assert not any(part in message for part in lines[int(number) - 1].split(":")[1:2] if len(part) > 8)
    for name, user in users.by_name.items():
        assert user.name == name == name_on(name)
        members = {"sub": user.user.subject, "scope": user.user.scope, "claims": dict(user.user.claims or {})}
        given = {member: value for member, value in members.items() if value is not None}
        try:
            line = write_user(name, user.hash, given)
        except BadUser as error:
            raise AssertionError(f"what was read cannot be written: {error}") from error
        assert read_user(line).user == user.user
        assert "\n" not in line
