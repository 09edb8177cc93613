"""Files that are read once for one configuration, and what is known of them afterwards."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.mechanisms import files
from gateway.mechanisms.base import BadSetting, offline_resources
from gateway.mechanisms.files import Files, Looks, bounded_content, digests_now


def test_a_file_is_read_once(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "a"
    path.write_bytes(b"first")
    assert files.read(path) == b"first"
    path.write_bytes(b"second")
    assert files.read(path) == b"first"
    assert files.has_changed(path)
    assert files.digests() != digests_now([path])


def test_a_file_that_lacks_is_remembered_as_lacking(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "a"
    with pytest.raises(FileNotFoundError):
        files.read(path)
    path.write_bytes(b"late")
    with pytest.raises(FileNotFoundError):
        files.read(path)
    assert files.digests_of([path]) == {path: None}
    assert digests_now([path])[path] is not None


def test_what_is_forgotten_is_still_known_by_its_digest(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "a"
    path.write_bytes(b"secret")
    before = files.digests_of([path])
    files.forget()
    assert files.digests() == before == digests_now([path])


def test_a_touched_file_holds_the_same(tmp_path: Path) -> None:
    files, path = Files(), tmp_path / "a"
    path.write_bytes(b"same")
    files.read(path)
    (tmp_path / "b").write_bytes(b"same")
    os.replace(tmp_path / "b", path)
    os.utime(path, (1, 1))
    assert not files.has_changed(path)


class TestLooks:
    def test_what_has_stood_still_is_read_once(self, large: Path) -> None:
        looks = Looks(later)
        before = looks.digests([large])
        assert bytes_read_by(lambda: looks.digests([large])) < SIZE
        assert looks.digests([large]) == before == digests_now([large])

    def test_what_is_new_is_read_at_each_look(self, large: Path) -> None:
        looks = Looks()
        looks.digests([large])
        assert bytes_read_by(lambda: looks.digests([large])) >= SIZE

    def test_a_change_is_seen_even_if_size_and_time_of_change_are_those_of_before(self, large: Path) -> None:
        looks, status = Looks(later), large.stat()
        looks.digests([large])
        time.sleep(0.05)  # for file systems that count by some milliseconds: this clock is a minute ahead
        large.write_bytes(b"b" * SIZE)
        os.utime(large, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert looks.digests([large]) == digests_now([large])

    def test_another_file_of_that_name_is_read(self, large: Path) -> None:
        looks, other = Looks(later), large.with_name("other")
        looks.digests([large])
        other.write_bytes(b"b" * SIZE)
        os.replace(other, large)
        assert looks.digests([large]) == digests_now([large])

    def test_a_file_goes_and_comes_back(self, large: Path) -> None:
        looks, away = Looks(later), large.with_name("away")
        before = looks.digests([large])
        os.replace(large, away)
        assert looks.digests([large]) == {large: None}
        os.replace(away, large)
        assert looks.digests([large]) == before

    def test_a_link_that_leads_elsewhere_only_while_it_is_read(
        self, large: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What was read then is not taken for what the file holds."""
        other, link = large.with_name("other"), large.with_name("link")
        other.write_bytes(b"b" * SIZE)
        link.symlink_to(large)
        read = files.beginning

        def elsewhere(path: Path, most: int) -> tuple[bytes, os.stat_result]:
            _lead(link, other)
            try:
                return read(path, most)
            finally:
                _lead(link, large)

        looks = Looks(later)
        monkeypatch.setattr(files, "beginning", elsewhere)
        looks.digests([link])
        monkeypatch.undo()
        assert looks.digests([link]) == digests_now([link])

    def test_a_pipe_holds_nothing_that_could_change(self, tmp_path: Path) -> None:
        os.mkfifo(path := tmp_path / "pipe")
        looks = Looks(later)
        assert looks.digests([path]) == looks.digests([path]) == {path: b""}


SIZE = 1 << 20


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(b"a" * SIZE)
    return path


def _lead(link: Path, to: Path) -> None:
    link.unlink()
    link.symlink_to(to)


def later() -> float:
    return time.time() + 60


def bytes_read_by(work: Callable[[], object]) -> int:
    before = _bytes_read()
    work()
    return _bytes_read() - before


def _bytes_read() -> int:
    """Return how many bytes this process has read (proc(5), `rchar`)."""
    return int(Path("/proc/self/io").read_text().split()[1])


def test_a_pipe_is_not_read_again_to_see_whether_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    before = digests_now([path])
    assert before == digests_now([path]) == {path: b""}


def test_a_file_that_changes_while_it_is_used_by_name_is_a_bad_setting(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_bytes(b"old")
    resources = offline_resources(tmp_path)
    with resources.steady(Path("key.pem")):
        pass
    with pytest.raises(BadSetting, match=r"key\.pem has changed while it was read"), resources.steady(Path("key.pem")):
        path.write_bytes(b"new")
    with pytest.raises(BadSetting, match=r"cannot read gone\.pem"), resources.steady(Path("gone.pem")):
        pass


def test_a_file_that_has_no_end_is_an_error_and_no_end_of_memory() -> None:
    with pytest.raises(OSError, match="larger than 1000 bytes"):
        bounded_content(Path("/dev/zero"), 1000)


def test_a_pipe_is_read_to_its_end_but_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor() as pool:
        writing = pool.submit(pipe.write_bytes, b"x" * 200_000)
        assert bounded_content(pipe, 200_000) == b"x" * 200_000
        writing.result()
    monkeypatch.setattr("gateway.mechanisms.files.PATIENCE", 0.05)
    with pytest.raises(OSError, match="no end of it"):
        bounded_content(pipe, 1000)


def test_what_must_be_read_twice_is_a_plain_file(tmp_path: Path) -> None:
    resources = offline_resources(tmp_path)
    with pytest.raises(BadSetting, match="no plain file"), resources.steady(Path("/dev/null")):
        pass


def test_a_file_may_be_as_large_as_the_bound(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 1000)
    assert len(bounded_content(tmp_path / "file", 1000)) == 1000
