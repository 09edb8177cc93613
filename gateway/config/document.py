"""The configuration file as plain data, with the line of every setting."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gateway.config.mistakes import ConfigMistakes, Mistake, SettingPath, shown_path, shown_text
from gateway.config.nodes import MAX_DEPTH, Malformed, MappingNode, Node, ScalarNode, SequenceNode, compose
from gateway.config.scalars import (
    BadScalar,
    Scalar,
    has_interpolation,
    interpolated,
    is_one_interpolation,
    plain_value,
)

MAX_NODES = 200_000
"""Values after aliases and merges are expanded: room for thousands of routes, and an end for a "billion laughs"."""


@dataclass(frozen=True)
class Document:
    """Plain data (dict, list and scalars), and where it stands in the file.

    `lines` has every key and list item. `from_environment` has the settings whose value is not in the file: it is never
    shown. `mistakes` are those found so far; the settings at `broken` have no meaning and are None in `data`.
    """

    file: str
    data: dict[str, Any]
    lines: Mapping[SettingPath, int]
    from_environment: frozenset[SettingPath] = frozenset()
    mistakes: tuple[Mistake, ...] = ()
    broken: frozenset[SettingPath] = frozenset()

    def line(self, path: SettingPath) -> int:
        """Return the line of a setting; one that is not in the file has the line of the closest one around it."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def mistake(self, path: SettingPath, message: str) -> Mistake:
        """Return a mistake about a setting, with its line."""
        return Mistake(self.file, self.line(path), shown_path(path), message)

    def is_broken(self, path: SettingPath) -> bool:
        """Say whether nothing can be said about a setting: it, a part of it or something around it is broken."""
        return path in self._around_broken or any(path[:length] in self.broken for length in range(len(path)))

    @cached_property
    def _around_broken(self) -> frozenset[SettingPath]:
        return frozenset(path[:length] for path in self.broken for length in range(len(path) + 1))


def read_document(source: bytes | str, environment: Mapping[str, str], file: str = "config.yaml") -> Document:
    """Return the document in a YAML text; bytes are UTF-8. Raises ConfigMistakes if it cannot be read to its end.

    What can be read, but means nothing (an unset variable, a repeated key), is among the document's `mistakes`.
    """
    try:
        text = source if isinstance(source, str) else _decoded(source)
        root = _root_mapping(text)
        reader = _Reader(environment)
        data = reader.value(root, ())
    except Malformed as malformed:
        raise ConfigMistakes([Mistake(file, malformed.line, "", malformed.message)]) from malformed
    mistakes = tuple(Mistake(file, line, path, message) for (line, message), path in reader.mistakes.items())
    broken, from_environment = frozenset(reader.broken), frozenset(reader.from_environment)
    return Document(file, data, reader.lines, from_environment, mistakes, broken)


def _decoded(source: bytes) -> str:
    try:
        return source.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = source.count(b"\n", 0, error.start) + 1
        raise Malformed(line, f"the byte 0x{source[error.start]:02X} is not UTF-8") from error


def _root_mapping(text: str) -> MappingNode:
    root = compose(text)
    if root is None or (isinstance(root, ScalarNode) and root.is_plain and not root.text):
        raise Malformed(1, "the file is empty")
    if not isinstance(root, MappingNode):
        raise Malformed(root.line, 'must be a mapping of settings, such as "listen:", "upstreams:" and "routes:"')
    return root


@dataclass(slots=True)
class _Reader:
    """Turns nodes into data. A mistake is kept once, however many aliases lead to it."""

    environment: Mapping[str, str]
    lines: dict[SettingPath, int] = field(default_factory=dict)
    from_environment: set[SettingPath] = field(default_factory=set)
    mistakes: dict[tuple[int, str], str] = field(default_factory=dict)
    broken: set[SettingPath] = field(default_factory=set)
    _nodes: int = 0

    def value(self, node: Node, path: SettingPath) -> Any:
        self._count(node, len(path))
        if node.tag is not None:
            self._broken(node, path, f"the tag {shown_text(node.tag)} is not supported; write the value without it")
            return None
        match node:
            case ScalarNode():
                return self._scalar(node, path)
            case SequenceNode():
                return [self._item(item, (*path, index)) for index, item in enumerate(node.items)]
            case MappingNode():
                settings = self._settings(node, path, 0)
                return {name: self._member(key, value, (*path, name)) for name, (key, value) in settings.items()}

    def _item(self, item: Node, path: SettingPath) -> Any:
        self.lines[path] = item.line
        return self.value(item, path)

    def _member(self, key: ScalarNode, value: Node, path: SettingPath) -> Any:
        self.lines[path] = key.line
        return self.value(value, path)

    def _count(self, node: Node, depth: int) -> None:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise Malformed(node.line, f"more than {MAX_NODES} values, counting what aliases repeat")
        if depth > MAX_DEPTH:
            raise Malformed(node.line, f"nested more than {MAX_DEPTH} levels deep")

    def _broken(self, node: Node, path: SettingPath, message: str) -> None:
        """Note a mistake about a value, which has no meaning then: None."""
        self.broken.add(path)
        self._note(node, path, message)

    def _note(self, node: Node, path: SettingPath, message: str) -> None:
        self.mistakes.setdefault((node.line, message), shown_path(path))

    def _scalar(self, node: ScalarNode, path: SettingPath) -> Scalar:
        text = node.text
        try:
            if "${" not in text:
                return plain_value(text) if node.is_plain else text
            if has_interpolation(text):
                self.from_environment.add(path)
            filled = interpolated(text, self.environment)
            return self._plain_variable(filled) if node.is_plain and is_one_interpolation(text) else filled
        except BadScalar as bad:
            self._broken(node, path, str(bad))
            return None

    def _plain_variable(self, value: str) -> Scalar:
        try:
            return plain_value(value)
        except BadScalar as bad:
            raise BadScalar(
                "the value from the environment is not clear: put the interpolation in quotes for text"
            ) from bad

    def _settings(self, node: MappingNode, path: SettingPath, merges: int) -> dict[str, tuple[ScalarNode, Node]]:
        """Return a mapping's own settings, and those it merges in and does not have itself."""
        self._count(node, merges)
        settings: dict[str, tuple[ScalarNode, Node]] = {}
        merged: list[Node] = []
        for key, value in node.pairs:
            if _is_merge(key):
                merged.append(value)
            elif (name := self._name(key, path, settings)) is not None:
                assert isinstance(key, ScalarNode)
                settings[name] = (key, value)
        for mapping in self._merged_mappings(merged, path):
            settings = self._settings(mapping, path, merges + 1) | settings
        return settings

    def _name(self, key: Node, path: SettingPath, known: Mapping[str, tuple[ScalarNode, Node]]) -> str | None:
        """Return the name that a key gives, or None after noting why it gives none."""
        if not isinstance(key, ScalarNode) or key.tag is not None:
            self._note(key, path, "a key must be plain text")
        elif key.is_plain and not _is_text(key.text):
            shown = shown_text(key.text)
            self._note(key, path, f'the key {shown or "(nothing)"} is not text; put it in quotes: "{shown}"')
        elif key.text in known:
            self._note(key, (*path, key.text), f"given twice; it stands already in line {known[key.text][0].line}")
        else:
            return key.text
        return None

    def _merged_mappings(self, merged: list[Node], path: SettingPath) -> list[MappingNode]:
        """Return what `<<` names, the weakest last."""
        candidates = [
            item for value in merged for item in (value.items if isinstance(value, SequenceNode) else [value])
        ]
        for candidate in candidates:
            if not isinstance(candidate, MappingNode):
                self._note(candidate, path, '"<<" merges a mapping, or a list of mappings')
        return [candidate for candidate in candidates if isinstance(candidate, MappingNode)]


def _is_merge(key: Node) -> bool:
    return isinstance(key, ScalarNode) and key.is_plain and key.text == "<<" and key.tag is None


def _is_text(text: str) -> bool:
    try:
        return isinstance(plain_value(text), str)
    except BadScalar:
        return False
