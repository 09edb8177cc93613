"""Targets that look like others, and servers that read them carelessly."""

import re
from collections.abc import Callable
from urllib.parse import unquote_to_bytes

from hypothesis import strategies as st

Reader = Callable[[bytes], bytes]
"""What some server makes of a path."""

PIECES = st.sampled_from(
    [
        *("/", "//", "/admin", "admin", "/public", "x", ".", "..", "/..", "/.", "...", "~", "-", "%61dmin", "%41dmin"),
        *("%2e", "%2E", "%2e%2e", ".%2e", "%2f", "%2F", "%5c", "%5C", "\\", "%252e", "%252f", "%255c", "%25", "%2525"),
        *(";", ";a=b", "%3b", "%3B", "..;", "?", "%3f", "%3F", "#", "%23", "%253f", "%00", "\x00", "%0a", "%20", "+"),
        *("%c0%ae", "%c0%af", "%e0%80%af", "%c3%a9", "%u002f", "%2", "%", "\t", " ", "[", "|", "%7e", "%7E", ":", "@"),
        *("http://api.example", "HTTP://api.example.", "http://other.example", "//api.example", "api.example:80"),
    ]
)
TARGETS = st.tuples(
    st.sampled_from(["/", "/admin", "/public", "/x", "", "http://api.example/", "/public/files"]),
    st.lists(PIECES, max_size=7),
    st.sampled_from(["", "/admin", "/admin/x", "admin", "?/admin", "?x", "/"]),
).map(lambda parts: (parts[0] + "".join(parts[1]) + parts[2]).encode())


def without_dots(path: bytes) -> bytes:
    kept: list[bytes] = []
    for segment in path.split(b"/")[1:]:
        if segment == b"..":
            kept = kept[:-1]
        elif segment != b".":
            kept.append(segment)
    return b"/" + b"/".join(kept)


def without_parameters(path: bytes) -> bytes:
    return b"/".join(segment.partition(b";")[0] for segment in path.split(b"/"))


def without_empty_segments(path: bytes) -> bytes:
    return re.sub(rb"/+", b"/", path)


def with_slashes(path: bytes) -> bytes:
    return path.replace(b"\\", b"/")


def up_to_nul(path: bytes) -> bytes:
    return path.partition(b"\x00")[0]


def up_to_query(path: bytes) -> bytes:
    return re.split(rb"[?#]", path)[0]


def decoded(path: bytes) -> bytes:
    return unquote_to_bytes(path)


def decoded_by_iis(path: bytes) -> bytes:
    return unquote_to_bytes(re.sub(rb"%u00(..)", rb"%\1", path))


def best_fit(path: bytes) -> bytes:
    """Overlong UTF-8, as it was once read."""
    return path.replace(b"\xc0\xae", b".").replace(b"\xc0\xaf", b"/").replace(b"\xe0\x80\xaf", b"/")


def steps(*readers: Reader) -> Reader:
    def read(path: bytes) -> bytes:
        for reader in readers:
            path = reader(path)
        return path

    return read


CLEANING = (with_slashes, without_parameters, without_empty_segments, without_dots)
READERS: dict[str, Reader] = {
    "as it is": steps(),
    "decoded once": decoded,
    "decoded twice": steps(decoded, decoded),
    "decoded three times": steps(decoded, decoded, decoded),
    "%u": steps(decoded_by_iis, *CLEANING),
    "dots, then decoded": steps(without_dots, decoded),
    "decoded, then dots": steps(decoded, without_dots),
    "dots, decoded, dots": steps(without_dots, decoded, without_dots),
    "dots, decoded twice, dots": steps(without_dots, decoded, decoded, without_dots),
    "parameters, then decoded": steps(without_parameters, decoded, without_dots),
    "decoded, then parameters": steps(decoded, without_parameters, without_dots),
    "slashes merged": steps(without_empty_segments, decoded, without_empty_segments),
    "dots, then slashes merged": steps(decoded, without_dots, without_empty_segments),
    "slashes merged, then dots": steps(decoded, without_empty_segments, without_dots),
    "backslashes": steps(with_slashes, decoded, with_slashes, without_dots),
    "up to a NUL": steps(decoded, up_to_nul),
    "up to a query, late": steps(decoded, up_to_query, *CLEANING),
    "up to a query, very late": steps(decoded, *CLEANING, up_to_query, without_dots),
    "overlong": steps(decoded, best_fit, *CLEANING),
    "everything": steps(decoded, *CLEANING, decoded, *CLEANING, up_to_nul, up_to_query, *CLEANING),
}


def is_protected(path: bytes) -> bool:
    return re.match(rb"/admin(/|\Z)", path) is not None
