from genrec.labels import numbered


def test_repeated_names_are_numbered_from_the_second_on():
    assert numbered(["a", "b", "a", "a", "b"]) == ["a", "b", "a_2", "a_3", "b_2"]
    assert numbered([]) == []
