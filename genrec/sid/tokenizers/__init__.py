"""Tokenizers: each module learns codebooks that turn an item vector into one code a level. No other modules here.

A module has a `Config`, in `TOKENIZER` the class that `load_tokenizer` builds from the saved tensors, and

    fit(vectors, *, num_levels, num_codes, options, seed, device=None, progress=silent) -> Tokenizer

    vectors: float32 [N, d], finite, N >= 1          num_levels: L           num_codes: K codes a level
    seed: decides every random choice                device: torch device; None takes the GPU where there is one
    raises ConfigError for options that cannot work, TrainingError where a loss stops being finite

It may have `promised_sizes(num_items, num_codes, options) -> (fewest, most)`: the items of a code in the catalogue it
was fitted on. What a tokenizer does is in `genrec.sid.quantize.tokenizer.Tokenizer`.
"""

PACKAGE = "genrec.sid.tokenizers"
