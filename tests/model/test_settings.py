import pytest
from pydantic import TypeAdapter, ValidationError

from gateway.model.settings import ByteSize, ClaimPathSetting, FilePath, HeaderName, Seconds, Settings

SECONDS = TypeAdapter[float](Seconds)
SIZE = TypeAdapter[int](ByteSize)
CLAIM = TypeAdapter[tuple[str, ...]](ClaimPathSetting)
HEADER = TypeAdapter[str](HeaderName)


class Example(Settings):
    """An example."""

    name: str
    """The name."""
    secret: int = 0


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("500ms", 0.5),
        ("10s", 10),
        ("10", 10),
        (" 5 m ", 300),
        ("1h", 3600),
        ("1d", 86400),
        ("1.5s", 1.5),
        (7, 7),
        (0, 0),
    ],
)
def test_a_duration_is_a_number_of_seconds_or_has_a_unit(written: object, seconds: float) -> None:
    assert SECONDS.validate_python(written) == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["", "s", "10 sec", "-1s", "1h30m", "1e3", "١s", True, "inf"])
def test_what_is_not_a_duration_says_how_to_write_one(written: object) -> None:
    with pytest.raises(ValidationError, match="is not a duration; write 500ms, 10s, 5m, 1h or 1d"):
        SECONDS.validate_python(written)


@pytest.mark.parametrize("written", [-1, float("inf"), float("nan"), None, []])
def test_a_duration_is_finite_and_not_negative(written: object) -> None:
    with pytest.raises(ValidationError):
        SECONDS.validate_python(written)


@pytest.mark.parametrize(
    ("written", "size"),
    [("512", 512), ("512B", 512), ("8KiB", 8192), (" 10 MiB ", 10 * 1024**2), ("1GiB", 1024**3), (7, 7)],
)
def test_a_size_is_a_number_of_bytes_or_has_a_unit(written: object, size: int) -> None:
    assert SIZE.validate_python(written) == size


@pytest.mark.parametrize("written", ["", "8kb", "8 KB", "1.5KiB", "-1", False])
def test_what_is_not_a_size_says_how_to_write_one(written: object) -> None:
    with pytest.raises(ValidationError, match="is not a size; write 512, 8KiB, 10MiB or 1GiB"):
        SIZE.validate_python(written)


def test_a_size_is_not_negative() -> None:
    with pytest.raises(ValidationError):
        SIZE.validate_python(-1)


@pytest.mark.parametrize(
    ("written", "path"),
    [
        ("sub", ("sub",)),
        ("realm_access.roles", ("realm_access", "roles")),
        (["https://x.example/roles"], ("https://x.example/roles",)),
    ],
)
def test_a_claim_is_a_dotted_name_or_a_list_of_names(written: object, path: tuple[str, ...]) -> None:
    assert CLAIM.validate_python(written) == path


@pytest.mark.parametrize("written", ["", "a..b", ".a", [], [""], 1])
def test_a_claim_has_no_empty_name(written: object) -> None:
    with pytest.raises(ValidationError):
        CLAIM.validate_python(written)


@pytest.mark.parametrize("written", ["X-User", "x.user", "X!#$%&'*+^`|~9"])
def test_a_header_name_is_a_token(written: str) -> None:
    assert HEADER.validate_python(written) == written


@pytest.mark.parametrize("written", ["", "X_User", "X User", "X-User:", "X-User\n", "X-Üser", "X\r\nY", "x" * 129])
def test_a_header_name_has_no_underscore_and_no_separator(written: str) -> None:
    """CVE-2025-64484: `X_User` is `X-User` to WSGI and CGI programs."""
    with pytest.raises(ValidationError):
        HEADER.validate_python(written)


def test_settings_are_frozen_and_refuse_what_they_do_not_know() -> None:
    example = Example(name="a")
    with pytest.raises(ValidationError):
        example.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Example.model_validate({"name": "a", "nmae": "b"})


def test_a_mistake_does_not_repeat_what_was_written() -> None:
    with pytest.raises(ValidationError) as caught:
        Example.model_validate({"name": "a", "secret": "hunter2"})
    assert "hunter2" not in str(caught.value)


def test_schemas_show_how_values_are_written() -> None:
    assert SECONDS.json_schema()["type"] == ["number", "string"]
    assert SIZE.json_schema()["type"] == ["integer", "string"]
    assert TypeAdapter(FilePath).json_schema()["type"] == "string"
