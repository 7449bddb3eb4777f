"""Promises of the catalogue: snapshots that never change, new items recommendable at once with ids nobody had."""

import numpy as np
import pyarrow as pa
import pytest

from genrec import tables
from genrec.errors import DataError, GenrecError
from genrec.serve import new_items
from genrec.serve.catalogue import Catalogue
from genrec.serve.new_items import NewItem, NewItemIds
from genrec.serve.query import Filter, Query
from tests.support import serve_tiny
from tests.support.lm_tiny import NUM_CODES
from tests.support.serve_tiny import NUM_ITEMS, TEXT_DIM, FixedIds


def test_a_change_makes_a_snapshot_and_leaves_the_one_before():
    before = serve_tiny.catalogue()
    after = before.with_stock({"i3": False, "i4": False}).with_stock({"i4": True})
    assert before.in_stock.all()
    assert np.flatnonzero(~after.in_stock).tolist() == [3]
    grown = before.with_items([NewItem("new", "A new thing", categories=["garden"])], FixedIds())
    assert (len(before), len(grown)) == (NUM_ITEMS, NUM_ITEMS + 1)
    assert before.index("new") is None
    assert grown.index("new") == NUM_ITEMS
    assert NUM_ITEMS in grown.allowed(Filter(categories=["garden"]))
    assert not before.in_stock.flags.writeable


def test_stock_of_an_item_that_is_not_there_is_refused_by_name():
    with pytest.raises(DataError, match=r"stock: no item 'x', 'y' in the catalogue \(2 unknown\)"):
        serve_tiny.catalogue().with_stock({"x": True, "i1": False, "y": False})


def test_a_filter_lets_through_what_both_of_its_parts_do():
    catalogue = serve_tiny.catalogue()
    assert catalogue.allowed(None) is None
    assert catalogue.allowed(Filter()) is None
    assert catalogue.allowed(Filter(items=["i5", "none", "i0", "i5"])).tolist() == [0, 5]
    assert catalogue.allowed(Filter(items=["i5", "i0"], categories=["garden"])).tolist() == [0]
    assert catalogue.allowed(Filter(categories=["none such"])).tolist() == []


def test_a_new_item_comes_out_at_once_and_known_ones_keep_their_place():
    engine = serve_tiny.engine()
    query = Query(["i1", "i2"], k=NUM_ITEMS)
    before = engine.answer([query])[0]
    catalogue = engine.catalogue.with_items(
        [NewItem("n1", "One"), NewItem("n2", "Two"), NewItem("i5", "Five")], FixedIds()
    )
    grown = engine.with_catalogue(catalogue)
    after = grown.answer([query])[0]
    listed = [item.item_id for item in after.items]
    assert set(listed) == {item.item_id for item in before.items} | {"n1", "n2"}
    assert len({item.sid for item in after.items}) == len(after.items)
    assert grown.answer([Query(["n1"], k=3)])[0].unknown == []
    assert catalogue.titles[5] == "Item 5"  # an item that is there stays as it is
    without = grown.with_catalogue(catalogue.with_stock({"n1": False, "n2": False}))
    assert {item.item_id for item in without.answer([query])[0].items} == {item.item_id for item in before.items}
    assert engine.answer([query])[0] == before


def test_ids_of_new_items_come_from_the_codebooks_and_are_nobody_elses(tmp_path):
    sids, encoder, taken = serve_tiny.write_ids(tmp_path)
    ids = NewItemIds({"method": "lsa", "fields": ["title"], "options": {"dim": TEXT_DIM}}, encoder, sids)
    items = [NewItem("a", "red garden hose"), NewItem("b", "red garden hose"), NewItem("c", "blue office lamp")]
    vectors, given = ids.give(items, taken)
    assert vectors.shape == (3, TEXT_DIM)
    every = np.concatenate([taken, given])
    assert len(np.unique(every, axis=0)) == len(every)
    again = ids.give(items, taken)
    np.testing.assert_array_equal(again[1], given)
    by_hand = ids.give([NewItem("a", vector=vectors[0].tolist())], taken)[1]
    np.testing.assert_array_equal(by_hand[0], given[0])


def test_ids_of_items_that_are_gone_are_not_given_again(tmp_path):
    sids, encoder, taken = serve_tiny.write_ids(tmp_path)
    ids = NewItemIds({"method": "lsa", "fields": ["title"], "options": {}}, encoder, sids)
    item = [NewItem("a", "red garden hose")]
    first = ids.give(item, taken)[1]
    serve_tiny.write_known(sids, np.concatenate([taken, first]))
    second = ids.give(item, taken)[1]
    assert first.tolist() != second.tolist()


def test_what_a_new_item_lacks_is_named(tmp_path, monkeypatch):
    sids, encoder, taken = serve_tiny.write_ids(tmp_path)
    ready = NewItemIds({"method": "ready", "fields": ["title"], "options": {}}, encoder, sids)
    with pytest.raises(DataError, match="new item 'a' has no vector"):
        ready.give([NewItem("a", "hose")], taken)
    with pytest.raises(DataError, match="shapes"):
        ready.give([NewItem("a", vector=[1.0]), NewItem("b", vector=[1.0, 2.0])], taken)
    with pytest.raises(DataError, match="'b': title is 3"):
        NewItem("b", title=3)
    with pytest.raises(DataError, match="categories are 'garden'"):
        NewItem("b", categories="garden")
    with pytest.raises(DataError, match="twice"):
        serve_tiny.catalogue().with_items([NewItem("n"), NewItem("n")], FixedIds())

    def missing(package, name):
        raise ModuleNotFoundError("No module named 'sklearn'", name="sklearn")

    monkeypatch.setattr(new_items.variants, "load", missing)
    lsa = NewItemIds({"method": "lsa", "fields": ["title"], "options": {}}, encoder, sids)
    with pytest.raises(GenrecError, match="lsa needs the package sklearn"):
        lsa.give([NewItem("a", "hose")], taken)


def test_a_table_of_other_items_than_the_ids_is_refused(tmp_path):
    sids, _, taken = serve_tiny.write_ids(tmp_path)
    columns = {"item_id": ["a"], "title": ["t"], "brand": ["b"], "categories": [["c"]], "train_count": [1]}
    schema = pa.schema([tables.CATALOGUE.field(name) for name in columns])
    tables.write_table(pa.table(columns).cast(schema), tmp_path / "items.parquet", schema)
    with pytest.raises(DataError, match=f"columns of \\[1, {len(taken)}\\] rows"):
        Catalogue.read(tmp_path / "items.parquet", sids, NUM_CODES)
