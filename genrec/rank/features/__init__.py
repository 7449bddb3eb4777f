"""Features of candidates, in groups: each module is one, with

    names(channels, num_levels) -> dict[str, str]     what each of its columns is, with its unit, given the names of the
                                                      channels and the levels of the generator's ids (0: none)
    columns(context, candidates) -> float32 [R] by name, a value a candidate; NaN where it is missing

The same code computes them offline for all queries and in the endpoint for one. What is learned or counted comes from the
training sequences alone (`parts.tables`), times are those before the moment of the recommendation. `parts.compute` puts
the groups side by side. This package holds groups alone: its listing is what there is.
"""
