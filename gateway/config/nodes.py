"""YAML text as a tree of nodes with lines; nothing has a type yet.

Made from the parser's events and not by PyYAML's composer, for three reasons: explicit tags can be told from implicit
ones, nesting is bounded before it can exhaust the stack, and an alias may not stand inside the value it names.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from gateway.config.mistakes import did_you_mean

MAX_DEPTH = 64
"""Levels of nesting; a real configuration has about ten."""


class Malformed(Exception):
    """Text that cannot be read any further."""

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True, slots=True, eq=False)
class ScalarNode:
    """Text. `is_plain` means neither quoted nor a block, so that it may be a number."""

    line: int
    text: str
    is_plain: bool
    tag: str | None


@dataclass(frozen=True, slots=True, eq=False)
class SequenceNode:
    line: int
    items: list["Node"]
    tag: str | None


@dataclass(frozen=True, slots=True, eq=False)
class MappingNode:
    line: int
    pairs: list[tuple["Node", "Node"]]
    tag: str | None


Node = ScalarNode | SequenceNode | MappingNode


def compose(text: str) -> Node | None:
    """Return the root of the only document in the text, or None if there is none. Raises Malformed."""
    _refuse_unprintable(text)
    try:
        return _Composer(yaml.parse(text, Loader=_LOADER)).document()
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        line = min(line, len(f"{text}.".splitlines()))  # libyaml counts a line that begins where the last one ends
        raise Malformed(line, _syntax_message(error, text, line)) from error
    except yaml.YAMLError as error:
        raise Malformed(1, f"not valid YAML: {error}") from error


_LOADER: type[yaml.SafeLoader | yaml.CSafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""YAML 1.2.2 §5.1, the other way round."""


def _refuse_unprintable(text: str) -> None:
    if match := _UNPRINTABLE.search(text):
        line = text.count("\n", 0, match.start()) + 1
        raise Malformed(line, f"the character U+{ord(match[0]):04X} is not allowed in YAML")


def _syntax_message(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    lines = text.splitlines()
    source = lines[line - 1] if line <= len(lines) else ""
    if "\t" in source[: len(source) - len(source.lstrip())]:
        return "a tab cannot indent; use spaces"
    context = f"{error.context}: " if error.context else ""
    problem = f"{context}{error.problem}"
    hint = next((hint for sign, hint in _HINTS if sign in problem), "")
    if "${" in source:
        hint = '; inside [ ] and { } an interpolation needs quotes: "${NAME}"'
    return f"not valid YAML: {problem}{hint}"


_HINTS = (
    ("scanning an alias", '; text that begins with * needs quotes: "*.example.com"'),
    ("cannot start any token", "; text that begins with @, ` or % needs quotes"),
    ("mapping values are not allowed", "; is a colon missing in the line before, or is this line indented too far?"),
    ("block collection", "; is this line indented like those it belongs to?"),
    ("block mapping", "; is this line indented like those it belongs to?"),
)
"""What people most often did, by a part of the parser's message."""


class _Composer:
    """Builds nodes from events. `_anchors` holds None for a value that is not complete yet."""

    def __init__(self, events: Iterator[yaml.Event]) -> None:
        self._events = events
        self._anchors: dict[str, Node | None] = {}

    def document(self) -> Node | None:
        next(self._events)  # the start of the stream
        if isinstance(next(self._events), yaml.StreamEndEvent):
            return None
        root = self._node(next(self._events), 0)
        next(self._events)  # the end of the document
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise Malformed(_line(event), "a second document begins here; one file is one configuration")
        return root

    def _node(self, event: yaml.Event, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise Malformed(_line(event), f"nested more than {MAX_DEPTH} levels deep")
        if isinstance(event, yaml.AliasEvent):
            return self._aliased(event)
        assert isinstance(event, yaml.NodeEvent)
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._new_node(event, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _aliased(self, event: yaml.AliasEvent) -> Node:
        name = str(event.anchor)
        if name not in self._anchors:
            raise Malformed(
                _line(event), f'no anchor "&{name}" stands before "*{name}"{did_you_mean(name, self._anchors)}'
            )
        node = self._anchors[name]
        if node is None:
            raise Malformed(_line(event), f'"*{name}" stands inside the value that it names')
        return node

    def _new_node(self, event: yaml.NodeEvent, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return ScalarNode(_line(event), event.value, not event.style, event.tag)
        assert isinstance(event, yaml.CollectionStartEvent)
        members = [self._node(member, depth + 1) for member in self._members()]
        if isinstance(event, yaml.SequenceStartEvent):
            return SequenceNode(_line(event), members, event.tag)
        return MappingNode(_line(event), list(zip(members[::2], members[1::2], strict=True)), event.tag)

    def _members(self) -> Iterator[yaml.Event]:
        """Yield the first event of each member; the consumer takes the rest of a member before it asks for the next."""
        while not isinstance(event := next(self._events), yaml.CollectionEndEvent):
            yield event


def _line(event: yaml.Event) -> int:
    mark = event.start_mark
    return int(mark.line) + 1 if mark else 1
