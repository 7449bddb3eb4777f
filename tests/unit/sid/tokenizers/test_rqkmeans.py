"""Residual k-means."""

import numpy as np

from genrec.sid.tokenizers import rqkmeans
from tests.support.sid_samples import clustered


def test_more_levels_leave_less_over():
    vectors = clustered(600, 8, 600, seed=0)
    errors = []
    for num_levels in (1, 2, 4):
        tokenizer = rqkmeans.fit(vectors, num_levels=num_levels, num_codes=16, options=rqkmeans.Config(), seed=0)
        errors.append(tokenizer.residual_errors(vectors, tokenizer.encode(vectors))[-1])
    assert errors[0] > errors[1] > errors[2]


def test_codes_that_stand_for_every_vector_leave_nothing_over():
    vectors = clustered(16, 8, 16, seed=0)
    tokenizer = rqkmeans.fit(vectors, num_levels=2, num_codes=16, options=rqkmeans.Config(), seed=0)
    codes = tokenizer.encode(vectors)
    assert sorted(codes[:, 0].tolist()) == list(range(16))
    np.testing.assert_allclose(tokenizer.decode(codes), vectors, atol=1e-5)
    np.testing.assert_allclose(tokenizer.residual_errors(vectors, codes), 0, atol=1e-9)


def test_the_error_of_very_many_vectors_is_that_of_a_fixed_sample(monkeypatch):
    vectors = clustered(2000, 8, 20, seed=1)
    tokenizer = rqkmeans.fit(vectors, num_levels=2, num_codes=8, options=rqkmeans.Config(), seed=0)
    codes = tokenizer.encode(vectors)
    all_of_them = tokenizer.residual_errors(vectors, codes)
    monkeypatch.setattr("genrec.sid.quantize.tokenizer.MEASURED_ITEMS", 500)
    sampled = tokenizer.residual_errors(vectors, codes)
    assert (sampled != all_of_them).all()
    np.testing.assert_allclose(sampled, all_of_them, rtol=0.15)
    np.testing.assert_array_equal(sampled, tokenizer.residual_errors(vectors, codes))
