"""`gateway users` keeps the file of users."""

import fcntl
import io
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.cli import main
from gateway.mechanisms.base import offline_resources
from gateway.mechanisms.logins.base import Attempt, ProvenUser
from gateway.mechanisms.logins.users_file import UsersFileSettings
from gateway.model.errors import WrongPassword
from tests.mechanisms.logins.hashing import cheap_argon2, cheap_bcrypt

PASSWORD = "correct horse"
BEFORE = f"# people\n\nbob:{cheap_bcrypt(b'bobs password')}\n# the boss\nalice:{cheap_argon2(b'alices')}\r\n\n# end\n"


class Line:
    """The command line. `typed` is what is typed when a password is asked for, `sent` is standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.typed: list[str] = []
        self.out = self.err = ""
        self._monkeypatch = monkeypatch
        self._capsys = capsys
        monkeypatch.setattr("getpass.getpass", lambda prompt: self.typed.pop(0))

    def __call__(self, *words: object, sent: bytes | None = None) -> int:
        more = []
        if sent is not None:
            self._monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(sent)))
            more = ["--password-stdin"]
        status = main(["users", *map(str, words), *more])
        self.out, self.err = self._capsys.readouterr()
        return status


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(monkeypatch, capsys)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "users"
    file.write_bytes(BEFORE.encode())
    return file


async def prove(file: Path, name: str, password: str) -> ProvenUser:
    login = UsersFileSettings(file=file).build(offline_resources(Path()))
    try:
        return await login.prove(Attempt(name, password, "192.0.2.1"))
    finally:
        login.close()


async def test_a_new_user_can_log_in(tmp_path: Path, line: Line) -> None:
    """With a real process, which reads a real standard input."""
    file = tmp_path / "users"
    words = ["users", "add", str(file), "carol", "--password-stdin", "--scope", "a b", "--sub", "u-3"]
    ran = subprocess.run(
        [sys.executable, "-m", "gateway", *words, "--claims", '{"team": ["x"]}'],
        input="pässwörd\nnot this line\n".encode(),
        capture_output=True,
        check=False,
        env=os.environ | {"LC_ALL": "C"},
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, b"", b"")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert await prove(file, "carol", "pässwörd") == ProvenUser("u-3", "a b", {"team": ["x"]})
    with pytest.raises(WrongPassword):
        await prove(file, "carol", "passwort")
    assert [each.name for each in tmp_path.iterdir()] == ["users"]


@pytest.mark.parametrize("algorithm", ["argon2id", "bcrypt", "scrypt"])
async def test_every_algorithm_can_be_chosen(file: Path, line: Line, algorithm: str) -> None:
    assert line("add", file, "carol", "--algorithm", algorithm, sent=PASSWORD.encode()) == 0
    assert (await prove(file, "carol", PASSWORD)).subject == "carol"
    assert line("list", file) == 0
    assert algorithm in line.out


def test_a_password_is_typed_twice_where_it_is_new(tmp_path: Path, line: Line) -> None:
    file = tmp_path / "users"
    line.typed = [PASSWORD, "correct hoarse"]
    assert line("add", file, "alice") == 1
    assert "the two are not the same" in line.err
    assert not file.exists()
    line.typed = [PASSWORD, PASSWORD]
    assert line("add", file, "alice") == 0
    line.typed = [PASSWORD]
    assert line("check", file, "alice") == 0
    assert line.typed == []


def test_the_rest_of_the_file_stays_as_it_is(file: Path, line: Line) -> None:
    assert line("add", file, "carol", sent=PASSWORD.encode()) == 0
    after = file.read_text()
    assert after.startswith(BEFORE.replace("\r\n", "\n"))
    assert after.splitlines()[-1].startswith("carol:$argon2id$")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert line("remove", file, "carol") == 0
    assert file.read_text() == BEFORE.replace("\r\n", "\n")


def test_a_user_is_replaced_only_on_purpose_and_in_its_place(file: Path, line: Line) -> None:
    assert line("add", file, "bob", sent=PASSWORD.encode()) == 1
    assert "--replace" in line.err
    assert file.read_text() == BEFORE.replace("\r\n", "\n")
    line.typed = []  # nobody has to type a password in vain
    assert line("add", file, "bob") == 1
    assert line("add", file, "bob", "--replace", sent=PASSWORD.encode()) == 0
    before, after = BEFORE.splitlines(), file.read_text().splitlines()
    assert [place for place in range(len(before)) if before[place] != after[place]] == [2]
    assert line("check", file, "bob", sent=PASSWORD.encode()) == 0


def test_removing_nobody_changes_nothing(file: Path, line: Line) -> None:
    assert line("remove", file, "carol") == 1
    assert "there is no user carol" in line.err
    assert file.read_bytes() == BEFORE.encode()


def test_a_check_tells_by_its_exit_status(file: Path, line: Line) -> None:
    assert line("check", file, "bob", sent=b"bobs password\r\n") == 0
    said = set()
    for name, password in (("bob", b"wrong"), ("nobody", b"bobs password"), ("Bob", b"bobs password")):
        assert line("check", file, name, sent=password) == 1
        said.add(line.err)
    assert said == {"the user name or the password is wrong\n"}


def test_a_list_shows_no_hashes(file: Path, line: Line) -> None:
    assert line("list", file) == 0
    assert "bob" in line.out
    assert "bcrypt cost=4" in line.out
    assert "$" not in line.out
    assert line("list", file, "--json") == 0
    assert json.loads(line.out)[0] == {
        "name": "bob",
        "sub": "bob",
        "scope": None,
        "claims": {},
        "hash": "bcrypt cost=4",
    }


def test_an_empty_list_is_empty(tmp_path: Path, line: Line) -> None:
    file = tmp_path / "users"
    file.write_text("# nobody\n")
    assert line("list", file) == 0
    assert line.out == ""


def test_a_list_tells_of_mistakes(file: Path, line: Line) -> None:
    file.write_text(BEFORE + "carol:$1$salt$hash\n")
    assert line("list", file) == 1
    assert f"{file}, line 8: the hash is not" in line.err
    assert "$1$" not in line.err
    assert "bob" in line.out


def test_a_broken_line_can_be_replaced_or_removed(file: Path, line: Line) -> None:
    """A file that comes from elsewhere: users with old hashes are moved over one by one."""
    file.write_text("carol:$1$salt$hash\ndave:plain\ncarol:again\n")
    assert line("add", file, "carol", "--replace", sent=PASSWORD.encode()) == 0
    assert "line 2" in line.err
    assert line("remove", file, "dave") == 0
    assert line.err == ""
    assert line("check", file, "carol", sent=PASSWORD.encode()) == 0


@pytest.mark.parametrize(
    ("password", "message"),
    [
        (b"", "must not be empty"),
        (b"\nsecond line", "must not be empty"),
        (b"seven77", "fewer than 8 characters"),
        ("sieben€".encode(), "fewer than 8 characters"),
        (b"x" * 1025, "at most 1024 bytes"),
        (b"\xff" * 20, "UTF-8"),
    ],
)
def test_a_password_that_is_none_is_refused(tmp_path: Path, line: Line, password: bytes, message: str) -> None:
    assert line("add", tmp_path / "users", "alice", sent=password) == 1
    assert message in line.err
    assert list(tmp_path.iterdir()) == []


def test_a_short_password_can_be_accepted_but_not_an_empty_one(file: Path, line: Line) -> None:
    assert line("add", file, "carol", "--weak", sent=b"short") == 0
    assert line("add", file, "dave", "--weak", sent=b"") == 1


def test_bcrypt_does_not_cut_a_password_short_unsaid(file: Path, line: Line) -> None:
    assert line("add", file, "carol", "--algorithm", "bcrypt", sent=b"x" * 73) == 1
    assert "72 bytes" in line.err


@pytest.mark.parametrize("name", ["", "a:b", "a\nb", "a\x1bb", " a", "#a"])
def test_a_name_that_would_be_misread_is_refused(file: Path, line: Line, name: str) -> None:
    assert line("add", file, name, sent=PASSWORD.encode()) == 1
    assert line("remove", file, name) == 1
    assert "the name" in line.err
    assert file.read_bytes() == BEFORE.encode()


@pytest.mark.parametrize(
    "words", [["--scope", "a  b"], ["--sub", ""], ["--claims", '{"iss": "x"}'], ["--claims", '{"a": NaN}']]
)
def test_what_is_said_of_a_user_is_checked(file: Path, line: Line, words: list[str]) -> None:
    assert line("add", file, "carol", *words, sent=PASSWORD.encode()) == 1
    assert file.read_bytes() == BEFORE.encode()


@pytest.mark.parametrize("claims", ["[]", "{", "x"])
def test_claims_are_an_object(file: Path, line: Line, claims: str) -> None:
    with pytest.raises(SystemExit):
        line("add", file, "carol", "--claims", claims)


def test_there_is_no_way_to_put_a_password_on_the_command_line(file: Path, line: Line) -> None:
    """It would be seen by everybody on the machine."""
    for words in (["--password", PASSWORD], [PASSWORD]):
        with pytest.raises(SystemExit):
            line("add", file, "carol", *words)


@pytest.mark.parametrize("action", ["list", "remove", "check"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, line: Line, action: str) -> None:
    name = [] if action == "list" else ["alice"]
    assert line(action, tmp_path / "users", *name) == 1
    assert line.err == f"{tmp_path / 'users'}: No such file or directory\n"


def test_a_file_in_another_encoding_is_left_alone(tmp_path: Path, line: Line) -> None:
    file = tmp_path / "users"
    file.write_bytes(b"caf\xe9:x\n")
    assert line("remove", file, "bob") == 1
    assert "not UTF-8" in line.err
    assert file.read_bytes() == b"caf\xe9:x\n"


def test_two_at_once_do_not_lose_each_others_users(file: Path) -> None:
    """Real processes; a lock that this test holds keeps all of them waiting until they are there."""
    directory = os.open(file.parent, os.O_RDONLY)
    fcntl.flock(directory, fcntl.LOCK_EX)
    started = []
    for number in range(3):
        words = ["users", "add", str(file), f"new{number}", "--password-stdin", "--algorithm", "bcrypt"]
        process = subprocess.Popen([sys.executable, "-m", "gateway", *words], stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(PASSWORD.encode() + b"\n")
        process.stdin.close()
        started.append(process)
    os.close(directory)
    assert [process.wait(60) for process in started] == [0, 0, 0]
    names = {each.partition(":")[0] for each in file.read_text().splitlines()}
    assert {"alice", "bob", "new0", "new1", "new2"} <= names
