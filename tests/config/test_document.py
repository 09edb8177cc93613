"""YAML text becomes plain data with lines, or a clear mistake."""

import json
import textwrap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.document import MAX_NODES, Document, read_document
from gateway.config.mistakes import ConfigMistakes, Mistake, did_you_mean, shown_path
from gateway.config.nodes import MAX_DEPTH


def read(text: str | bytes, **environment: str) -> Document:
    return read_document(textwrap.dedent(text) if isinstance(text, str) else text, environment)


def data(text: str, **environment: str) -> dict[str, Any]:
    document = read(text, **environment)
    assert document.mistakes == ()
    return document.data


def mistakes(text: str | bytes, **environment: str) -> list[str]:
    try:
        found = read(text, **environment).mistakes
    except ConfigMistakes as error:
        found = error.mistakes
    return [str(mistake) for mistake in sorted(found)]


def test_every_key_and_item_has_its_line() -> None:
    document = read(
        """\
        # a comment
        listen:
          - address: a

          - address:
              b
        """
    )
    assert document.data == {"listen": [{"address": "a"}, {"address": "b"}]}
    assert [document.line(path) for path in [("listen",), ("listen", 0), ("listen", 1), ("listen", 1, "address")]] == [
        2,
        3,
        5,
        5,
    ]


def test_a_missing_setting_has_the_line_of_what_should_hold_it() -> None:
    document = read("a: 1\nb:\n  c: 1\n")
    assert document.line(("b", "missing", 3)) == 2
    assert document.line(("missing",)) == 1


def test_types_are_those_of_yaml_1_2() -> None:
    assert data(
        """\
        integers: [1, -7, +7, 0x1f, 0o17, 0]
        numbers: [1.5, .5, 1e3, -2.]
        booleans: [true, False, TRUE]
        nothing: [null, ~, ]
        empty:
        text: [12:30, 2024-01-31, 0b1, y, "1", 'true', .inf, 1.2.3, -, "~"]
        block: |
          true
        """
    ) == {
        "integers": [1, -7, 7, 31, 15, 0],
        "numbers": [1.5, 0.5, 1000.0, -2.0],
        "booleans": [True, False, True],
        "nothing": [None, None],
        "empty": None,
        "text": ["12:30", "2024-01-31", "0b1", "y", "1", "true", ".inf", "1.2.3", "-", "~"],
        "block": "true\n",
    }


@pytest.mark.parametrize(("word", "meant"), [("yes", "true"), ("On", "true"), ("no", "false"), ("OFF", "false")])
def test_words_that_are_booleans_in_some_versions_of_yaml_are_refused(word: str, meant: str) -> None:
    [mistake] = mistakes(f"a: 1\nb: {word}\n")
    assert mistake == (
        f'config.yaml:2: b: "{word}" is a boolean in some versions of YAML and text in others; '
        f"write {meant}, or put it in quotes"
    )
    assert data(f'b: "{word}"') == {"b": word}


@pytest.mark.parametrize("number", ["0123", "1_000", "00", "-012"])
def test_numbers_that_versions_of_yaml_read_differently_are_refused(number: str) -> None:
    assert mistakes(f"a: {number}") == [
        f'config.yaml:1: a: "{number}" is read differently by versions of YAML; '
        "write a plain number, or put it in quotes"
    ]


@pytest.mark.parametrize("number", ["9" * 41, "1e999", "-1e999"])
def test_a_number_without_bounds_is_refused(number: str) -> None:
    assert mistakes(f"a: {number}") == ["config.yaml:1: a: the number is too large"]


def test_a_repeated_key_is_a_mistake_that_names_both_lines() -> None:
    assert mistakes('a: 1\nb: 2\n"a": 3\n') == ["config.yaml:3: a: given twice; it stands already in line 1"]


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("1", 'the key 1 is not text; put it in quotes: "1"'),
        ("no", 'the key no is not text; put it in quotes: "no"'),
        ("~", 'the key ~ is not text; put it in quotes: "~"'),
        ("? [a]\n", "a key must be plain text"),
        ("!!str a", "a key must be plain text"),
    ],
)
def test_a_key_is_text(key: str, message: str) -> None:
    assert mistakes(f"{key}: x") == [f"config.yaml:1: {message}"]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("", "1: the file is empty"),
        ("# only a comment\n", "1: the file is empty"),
        ("---\n...\n", "1: the file is empty"),
        ("\n- a\n", '2: must be a mapping of settings, such as "listen:", "upstreams:" and "routes:"'),
        ("word", '1: must be a mapping of settings, such as "listen:", "upstreams:" and "routes:"'),
        ("a: 1\n---\nb: 1\n", "2: a second document begins here; one file is one configuration"),
        ("a:\n\tb: 1\n", "2: a tab cannot indent; use spaces"),
        ("a: 1\nb: \0\n", "2: the character U+0000 is not allowed in YAML"),
        ("a: \ud800", "1: the character U+D800 is not allowed in YAML"),
        (b"a: 1\nb: \xff\n", "2: the byte 0xFF is not UTF-8"),
        ("a: *b", '1: no anchor "&b" stands before "*b"'),
        ("anchor: &limits {}\na: *limit", '2: no anchor "&limit" stands before "*limit"; did you mean "limits"?'),
        ("a: &b\n  - *b", '2: "*b" stands inside the value that it names'),
        ("a: !!python/name:os.system x", "1: a: the tag tag:yaml.org,2002:python/name:os.system is not supported; "
         "write the value without it"),
        ("a: !x [1]", "1: a: the tag !x is not supported; write the value without it"),
    ],
)  # fmt: skip
def test_what_is_not_a_configuration_at_all_is_said_with_the_line(text: str | bytes, mistake: str) -> None:
    assert mistakes(text) == [f"config.yaml:{mistake}"]


def test_broken_syntax_is_said_with_the_line() -> None:
    [mistake] = mistakes("a: 1\nb: c: d\n")
    assert mistake.startswith("config.yaml:2: not valid YAML: ")


def test_what_is_missing_at_the_end_has_the_last_line() -> None:
    """libyaml counts a line that begins where the text ends."""
    [mistake] = mistakes("realm:\ns")
    assert mistake.startswith("config.yaml:2: not valid YAML: ")


def test_an_unquoted_interpolation_in_brackets_is_explained() -> None:
    [mistake] = mistakes("a: [${X}]\n")
    assert mistake.endswith('; inside [ ] and { } an interpolation needs quotes: "${NAME}"')


def test_a_byte_order_mark_is_ignored() -> None:
    assert read(b"\xef\xbb\xbfa: 1").data == {"a": 1}


def test_an_alias_bomb_ends_in_a_mistake() -> None:
    bomb = "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [{','.join([f'*a{i}'] * 9)}]\n" for i in range(20))
    [mistake] = mistakes(bomb)
    assert mistake.endswith(f"more than {MAX_NODES} values, counting what aliases repeat")


def test_a_merge_bomb_ends_in_a_mistake() -> None:
    bomb = "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: [*a{i}, *a{i}]}}\n" for i in range(40))
    [mistake] = mistakes(bomb)
    assert mistake.endswith(f"more than {MAX_NODES} values, counting what aliases repeat")


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "- " * 5_000 + "a",
        "a0: &a0 [x]\n" + "".join(f"a{i + 1}: &a{i + 1} [*a{i}]\n" for i in range(2_000)),
        "a0: &a0 {x: 1}\n" + "".join(f"a{i + 1}: &a{i + 1} {{<<: *a{i}}}\n" for i in range(2_000)),
    ],
)
def test_deep_nesting_ends_in_a_mistake(text: str) -> None:
    [mistake] = mistakes(text)
    assert mistake.endswith(f"nested more than {MAX_DEPTH} levels deep")


def test_an_alias_repeats_a_value_and_its_mistakes_are_told_once() -> None:
    assert data("a: &x {b: 1}\nc: *x\n") == {"a": {"b": 1}, "c": {"b": 1}}
    assert len(mistakes("a: &x {b: yes}\nc: *x\n")) == 1


def test_a_merge_key_fills_in_what_the_mapping_does_not_say_itself() -> None:
    assert data(
        """\
        first: &first {a: 1, b: 1}
        second: &second {b: 2, c: 2}
        one: {<<: *first, b: 3}
        several: {d: 4, <<: [*first, *second]}
        nested: {<<: {<<: *second, c: 5}}
        quoted: {"<<": 1}
        """
    ) == {
        "first": {"a": 1, "b": 1},
        "second": {"b": 2, "c": 2},
        "one": {"a": 1, "b": 3},
        "several": {"a": 1, "b": 1, "c": 2, "d": 4},
        "nested": {"b": 2, "c": 5},
        "quoted": {"<<": 1},
    }


def test_a_merged_setting_has_the_line_where_it_stands() -> None:
    document = read("base: &base\n  a: 1\nuser:\n  <<: *base\n  b: 2\n")
    assert document.line(("user", "a")) == 2
    assert document.line(("user", "b")) == 5


def test_only_mappings_can_be_merged() -> None:
    assert mistakes("a: {<<: 1}") == ['config.yaml:1: a: "<<" merges a mapping, or a list of mappings']


def test_a_variable_is_put_in_and_a_plain_one_is_typed() -> None:
    assert data(
        """\
        plain: ${PORT}
        quoted: "${PORT}"
        part: http://${HOST}:${PORT}
        two: ${PORT}${PORT}
        block: |
          ${PORT}
        literal: $${PORT}
        dollar: $PORT
        """,
        PORT="8080",
        HOST="127.0.0.1",
    ) == {
        "plain": 8080,
        "quoted": "8080",
        "part": "http://127.0.0.1:8080",
        "two": "80808080",
        "block": "8080\n",
        "literal": "${PORT}",
        "dollar": "$PORT",
    }


def test_a_default_stands_in_for_a_variable_that_is_unset_or_empty() -> None:
    text = 'a: ${A:-80}\nb: "${A:-80}"\nc: ${A:-}\nd: ${A:-a:-b}\n'
    assert data(text) == data(text, A="") == {"a": 80, "b": "80", "c": None, "d": "a:-b"}
    assert data(text, A="7") == {"a": 7, "b": "7", "c": 7, "d": 7}


def test_an_unset_variable_is_a_mistake_that_names_it() -> None:
    assert mistakes("a: 1\nb: x${HOTS}\n", HOST="h") == [
        'config.yaml:2: b: the environment variable HOTS is not set; did you mean "HOST"?'
    ]


@pytest.mark.parametrize("text", ["${", "${}", "${1A}", "${A", "${A-b}", "${A B}", "${A:+b}"])
def test_a_malformed_interpolation_is_a_mistake(text: str) -> None:
    assert mistakes(f"a: '{text}'", A="x") == [
        "config.yaml:1: a: not an interpolation; write ${NAME} or ${NAME:-default}, or $${ for a literal ${"
    ]


@pytest.mark.parametrize(
    "value", ["[1, 2]", "{a: b}", "x\nevil: true", "# no comment", "*x", "&x", "!!int 3", "${B}", "- a"]
)
def test_injection_by_an_environment_variable_never_changes_the_structure(value: str) -> None:
    assert data("a: ${A}\nb: 1\n", A=value) == {"a": value, "b": 1}


def test_a_value_from_the_environment_is_never_shown() -> None:
    [mistake] = mistakes("a: ${A}\n", A="0123")
    assert (
        mistake
        == "config.yaml:1: a: the value from the environment is not clear: put the interpolation in quotes for text"
    )


def test_a_variable_that_is_not_utf_8_is_a_mistake() -> None:
    assert mistakes("a: ${A}\n", A="\udcff") == ["config.yaml:1: a: the environment variable A is not UTF-8"]


def test_keys_are_not_interpolated() -> None:
    assert data("'${A}': 1", A="x") == {"${A}": 1}


def test_values_with_a_variable_are_known_to_be_from_the_environment() -> None:
    document = read("a: ${A}\nb: ['x${A}', '$${A}']\nc: 1\n", A="x")
    assert document.from_environment == {("a",), ("b", 0)}


def test_nothing_can_be_said_about_what_is_around_or_inside_a_broken_value() -> None:
    document = read("a: {b: yes, c: 1}\n")
    assert document.is_broken(("a", "b"))
    assert document.is_broken(("a",))
    assert document.is_broken(("a", "b", "d"))
    assert not document.is_broken(("a", "c"))


def test_a_mistake_is_one_line_with_file_line_and_path() -> None:
    assert str(Mistake("c.yaml", 31, "routes[2].upstream", "unknown")) == "c.yaml:31: routes[2].upstream: unknown"
    assert str(Mistake("c.yaml", 3, "", "bad")) == "c.yaml:3: bad"
    assert str(Mistake("c.yaml", 0, "", "cannot be read")) == "c.yaml: cannot be read"


def test_nothing_in_a_mistake_can_break_its_line_or_speak_to_a_terminal() -> None:
    assert (
        str(Mistake("c.yaml", 3, "a", 'unknown upstream "p\n\x1b[31mq"'))
        == r'c.yaml:3: a: unknown upstream "p\n\x1b[31mq"'
    )


def test_mistakes_are_sorted_by_line_and_told_once() -> None:
    late, early = Mistake("c", 10, "b", "x"), Mistake("c", 9, "z", "x")
    assert ConfigMistakes([late, early, late]).mistakes == (early, late)
    assert str(ConfigMistakes([late, early])) == "c:9: z: x\nc:10: b: x"


def test_a_path_is_shown_as_one_would_write_it() -> None:
    assert shown_path(("routes", 2, "match", "path")) == "routes[2].match.path"
    assert shown_path(("upstreams", "orders.v2", "targets", 0)) == 'upstreams["orders.v2"].targets[0]'
    assert shown_path(("a\nb",)) == '["a\\nb"]'
    assert shown_path(()) == ""


def test_a_suggestion_is_only_made_for_something_close() -> None:
    assert did_you_mean("ordres", ["orders", "users"]) == '; did you mean "orders"?'
    assert did_you_mean("xyz", ["orders", "users"]) == ""


CONTROLS = "".join(map(chr, range(0x7F, 0xA0)))
SAFE_TEXT = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0x2027, exclude_characters=f"${CONTROLS}"), max_size=20
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(-1e300, 1e300) | SAFE_TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(SAFE_TEXT, inner, max_size=4),
    max_leaves=20,
)


@settings(deadline=None)
@given(st.dictionaries(SAFE_TEXT, VALUES, max_size=5))
def test_json_is_read_as_itself(value: dict[str, Any]) -> None:
    assert read_document(json.dumps(value, ensure_ascii=False), {}).data == value


@settings(deadline=None)
@given(st.text() | st.text(alphabet="ab:-[]{}&*!<>|'\"\n\t #%@`?,~01$.") | st.binary())
def test_arbitrary_text_gives_a_document_or_mistakes(text: str | bytes) -> None:
    try:
        document = read_document(text, {"a": "b"})
    except ConfigMistakes:
        return
    assert isinstance(document.data, dict)


@settings(deadline=None)
@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_any_variable_in_quotes_is_exactly_its_text(value: str) -> None:
    assert read_document('a: "${A}"', {"A": value}).data == {"a": value}
