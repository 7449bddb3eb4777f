"""The index of a catalogue's texts against the texts themselves."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.embed.text_index import index_texts, read_texts
from genrec.embed.texts import item_texts
from genrec.errors import DataError
from tests.support.embed_tiny import catalogue_of

FIELDS = ["title", "brand", "categories"]
ROWS = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["", "a", "b  c", "é"]),
        "brand": st.sampled_from(["", "x"]),
        "categories": st.sampled_from([[], ["p"], ["p", "q"]]),
    }
)


@settings(deadline=None, max_examples=60)
@given(rows=st.lists(ROWS, min_size=1, max_size=40), group=st.integers(1, 15), data=st.data())
def test_the_index_is_that_of_the_texts_in_memory_and_any_of_them_is_read_again(tmp_path_factory, rows, group, data):
    path = tmp_path_factory.mktemp("catalogue") / "catalogue.parquet"
    table = catalogue_of(rows)
    pq.write_table(table, path, row_group_size=group)
    texts, inverse = item_texts(table, FIELDS)
    index = index_texts(path, FIELDS)
    assert index.inverse.tolist() == inverse.tolist()
    assert index.characters.tolist() == [len(text) for text in texts]
    assert list(read_texts(path, FIELDS, index.first)) == texts
    assert (np.diff(index.first) > 0).all()
    some = np.array(sorted(data.draw(st.sets(st.integers(0, len(rows) - 1)))), dtype=np.int64)
    assert list(read_texts(path, FIELDS, some)) == [texts[inverse[i]] for i in some]


def test_texts_are_found_in_another_catalogue(tmp_path):
    indices = []
    for name, titles in (("new", ["c", "a", "z", "a"]), ("old", ["a", "b", "b", "c"])):
        pq.write_table(catalogue_of([{"title": t} for t in titles]), tmp_path / name)
        indices.append(index_texts(tmp_path / name, ["title"]))
    assert indices[0].found_in(indices[1]).tolist() == [2, 0, -1]


def test_a_missing_file_and_a_missing_field_are_named(tmp_path):
    with pytest.raises(DataError, match=r"catalogue\.parquet: no such file"):
        index_texts(tmp_path / "catalogue.parquet", ["title"])
    pq.write_table(catalogue_of([{"title": "a"}]).drop_columns(["brand"]), tmp_path / "catalogue.parquet")
    with pytest.raises(DataError, match="no column 'brand'"):
        index_texts(tmp_path / "catalogue.parquet", FIELDS)
