from hypothesis import given
from hypothesis import strategies as st

from gateway.model.revocation import Level, Marker, mark

KEYED = (Level.CLIENT, Level.SUBJECT, Level.SESSION, Level.TOKEN, Level.GENERATION)
"""The levels whose marks have a name."""


@given(st.sampled_from(KEYED), st.text(), st.lists(st.text(), min_size=1, max_size=3))
def test_a_marker_makes_the_marks_that_a_revocation_has(level: Level, issuer: str, names: list[str]) -> None:
    marker = Marker(level, issuer)
    assert [marker.mark(name) for name in names] == [mark(level, issuer, name) for name in names]
