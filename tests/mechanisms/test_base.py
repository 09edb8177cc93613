from pathlib import Path

import pytest

from gateway.mechanisms.base import BadSetting, Credentials, FetchFailed, HeaderEdits, offline_resources


def test_a_file_is_read_from_where_the_configuration_is(tmp_path: Path) -> None:
    (tmp_path / "key.pem").write_bytes(b"key")
    assert offline_resources(tmp_path).read(Path("key.pem")) == b"key"
    assert offline_resources(Path("/nowhere")).read(tmp_path / "key.pem") == b"key"


def test_a_file_that_cannot_be_read_is_a_bad_setting(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match=r"cannot read key\.pem: No such file") as caught:
        offline_resources(tmp_path).read(Path("key.pem"), "identity", 0)
    assert caught.value.path == ("identity", 0)
    assert BadSetting("wrong").path == ()


def test_edits_do_not_expire_and_sources_read_nothing_unless_they_say_so() -> None:
    assert HeaderEdits(()).usable_until == float("inf")
    assert Credentials() == Credentials(frozenset(), frozenset(), frozenset())


async def test_offline_resources_make_no_network_call_and_report_nothing(tmp_path: Path) -> None:
    resources = offline_resources(tmp_path)
    with pytest.raises(FetchFailed, match="no network call"):
        await resources.fetch("https://idp.example", 1)
    resources.notice("event", {})
    assert resources.insecure == frozenset()
