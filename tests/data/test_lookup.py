import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data import lookup
from pipeline.data.lookup import Lookup, hash_of, hashes_of, id_of

IDS = st.lists(st.text(min_size=1, max_size=8).filter(lambda text: text.isascii() or text.isprintable()), max_size=60)


@given(IDS, IDS)
def test_positions_are_those_of_a_dictionary(known, asked):
    known = list(dict.fromkeys(known))
    where = {id_: position for position, id_ in enumerate(known)}
    table = Lookup.of(hashes_of(known))
    found = table.positions([*asked, *known], lambda positions: [known[p] for p in positions])
    assert found.tolist() == [where.get(id_, -1) for id_ in [*asked, *known]]


@given(IDS, st.integers(1, 3))
def test_ids_of_one_hash_are_told_apart(known, distinct_hashes):
    """Two bits of hash make nearly every id collide; the verification must still find the right one."""
    known = list(dict.fromkeys(known))
    narrow = lookup.hashes_of
    try:
        lookup.hashes_of = lambda texts: narrow(texts) % np.uint64(distinct_hashes)
        table = Lookup.of(lookup.hashes_of(known))
        found = table.positions(["unknown-id", *known], lambda positions: [known[p] for p in positions])
    finally:
        lookup.hashes_of = narrow
    assert found.tolist() == [-1, *range(len(known))]


@given(st.lists(st.sampled_from("abcdefgh"), max_size=40), st.sampled_from([1, 2, 3, 1 << 40]))
def test_repetitions_are_found_even_behind_collisions(ids, distinct_hashes):
    first: dict[str, int] = {}
    expected = sorted((n, first[id_]) for n, id_ in enumerate(ids) if first.setdefault(id_, n) != n)
    table = Lookup.of(hashes_of(ids) % np.uint64(distinct_hashes))
    repeated = table.repeated(lambda positions: [ids[p] for p in positions])
    assert sorted(map(tuple, repeated.tolist())) == expected


def test_hashes_never_change():
    """Splits and limits of existing results hang on them."""
    assert hash_of("query-1") == 0x405016F3757D0458 == int(hashes_of(["query-1"])[0])
    assert id_of("a text") == "ce893c8fbaff5fb51838"
    assert hash_of("query-1") != hash_of("query-1", b"split")
