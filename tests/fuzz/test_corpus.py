"""Every input of the corpus, on every Python, with or without the fuzzer."""

import pytest

from tests.fuzz.places import CORPUS, inputs
from tests.fuzz.targets import TARGETS, load


@pytest.mark.parametrize("target", TARGETS)
def test_no_input_of_the_corpus_breaks_a_promise(target: str) -> None:
    check = load(target)
    for file in inputs(CORPUS / target):
        try:
            check(file.read_bytes())
        except Exception as error:
            error.add_note(f"the input is {file}")
            raise


def test_every_target_has_a_corpus_and_every_corpus_a_target() -> None:
    assert {each.name for each in CORPUS.iterdir()} == set(TARGETS)
    assert all(len(inputs(CORPUS / target)) >= 8 for target in TARGETS)


def test_the_corpus_stays_small_enough_to_be_kept() -> None:
    files = [file for target in TARGETS for file in inputs(CORPUS / target)]
    assert len(files) < 700
    assert sum(file.stat().st_size for file in files) < 1_000_000
