"""Side information of a catalogue."""

import pyarrow as pa

from genrec.recall.parts.side import side_of


def test_brands_and_categories_become_numbers_and_nothing_stays_nothing():
    categories = pa.array([["Kitchen", "Mug"], [], ["Kitchen"], ["Garden", "Mug"]], pa.list_(pa.string()))
    side = side_of(pa.table({"brand": ["A", " ", "", "A"], "categories": categories}))
    assert side.brand.tolist()[0] == side.brand.tolist()[3] >= 0
    assert side.brand.tolist()[1:3] == [-1, -1]
    mug, kitchen = side.leaf[0], side.leaf[2]
    assert side.leaf.tolist() == [mug, -1, kitchen, mug]
    assert side.depth.tolist() == [2, 0, 1, 2]
    assert side.categories.toarray().tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0], [0, 1, 1]]


def test_an_empty_catalogue_has_no_side_information():
    table = pa.table({"brand": pa.array([], pa.string()), "categories": pa.array([], pa.list_(pa.string()))})
    side = side_of(table)
    assert (len(side.brand), side.categories.shape) == (0, (0, 0))
