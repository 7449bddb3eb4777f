"""Nested settings as dotted names."""

from genrec.config.flatten import flatten


def test_every_leaf_has_its_dotted_name_in_order():
    nested = {"b": {"c": 1, "d": {"e": None}}, "a": [1, {"x": 2}], "empty": {}}
    assert list(flatten(nested).items()) == [("b.c", 1), ("b.d.e", None), ("a", [1, {"x": 2}]), ("empty", {})]
    assert flatten({}) == {}
