from genrec.labels import distinct_names


def test_repeated_names_are_numbered_from_the_second_on():
    assert distinct_names(["a", "b", "a", "a", "b"]) == ["a", "b", "a_2", "a_3", "b_2"]
    assert distinct_names([]) == []
