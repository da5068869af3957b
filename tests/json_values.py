"""Any JSON value, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

any_text = st.text(st.characters(codec="utf-8"))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    any_text,
)
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner), st.dictionaries(any_text, inner)), max_leaves=40
)
