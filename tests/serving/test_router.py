"""Who is answered by whom, as docs/formats.md has it."""

from __future__ import annotations

from hashlib import blake2b

from hypothesis import given
from hypothesis import strategies as st

from trimtab.core.domain.routes import Routes, Share
from trimtab.serving.scoring.ids import IdSource
from trimtab.serving.scoring.router import Router, share_of

texts = st.text(max_size=20)


def router(*weights: int, salt: str = "s") -> Router:
    return Router(Routes(1, salt, tuple(Share(i + 1, weight) for i, weight in enumerate(weights))))


@given(texts, texts)
def test_the_share_is_the_documented_one(salt: str, entity: str) -> None:
    """An analyst recomputes the routing from the log."""
    digest = blake2b((salt + "\0" + entity).encode(), digest_size=8).digest()
    assert share_of(salt, entity) == int.from_bytes(digest, "big") / 2**64


@given(st.integers(0, 100), st.integers(0, 100), texts, texts)
def test_who_was_in_stays_in_as_the_weight_grows(a: int, b: int, salt: str, entity: str) -> None:
    """A canary only ever adds users."""
    small, large = sorted((a, b))
    if router(100 - small, small, salt=salt).choose(entity) == 2:
        assert router(100 - large, large, salt=salt).choose(entity) == 2


@given(st.lists(st.integers(0, 100), min_size=1, max_size=5), texts)
def test_a_version_without_weight_answers_nobody(raw: list[int], entity: str) -> None:
    """The standby of a blue-green pair is loaded and gets nothing."""
    total = sum(raw)
    weights = [100, *([0] * (len(raw) - 1))] if total == 0 else [w * 100 // total for w in raw]
    weights[weights.index(max(weights))] += 100 - sum(weights)
    assert weights[router(*weights).choose(entity) - 1] > 0


def test_shares_are_as_large_as_the_weights_say() -> None:
    """95/5 over ten thousand entities."""
    chosen = [router(95, 5).choose(f"e{i}") for i in range(10_000)]
    assert 400 < chosen.count(2) < 600


@given(st.lists(st.floats(0, 4e9), min_size=1, max_size=50))
def test_ids_are_unique_and_sorted_even_when_the_clock_goes_back(times: list[float]) -> None:
    """An NTP step sets the clock back under load."""
    source = IdSource("tag")
    ids = [source.next(now) for now in times]
    assert len(set(ids)) == len(ids)
    assert ids == sorted(ids)
