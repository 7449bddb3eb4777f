import torch

from genrec.rank.rankers.parts.encoder import MAX_DEVIATIONS, Encoder

NAN = float("nan")
FEATURES = torch.tensor([[1.0, 5.0, NAN], [3.0, 5.0, NAN], [NAN, 5.0, NAN]])
USER, ITEM = torch.tensor([1, 2, 3]), torch.tensor([10, 11, 12])


def encoder(**options):
    made = Encoder(3, **{"buckets": 1024, "dim": 4, "feature_dropout": 0.0, "id_dropout": 0.0, **options})
    with torch.no_grad():
        made.learn(FEATURES, made.bucket(USER, ITEM))
    return made


def test_numbers_are_standardised_by_training_rows_and_a_missing_one_is_the_mean_with_an_indicator():
    made = encoder().eval()
    values, missing, _ = made(FEATURES, made.bucket(USER, ITEM))
    torch.testing.assert_close(values, torch.tensor([[-1.0, 0, 0], [1, 0, 0], [0, 0, 0]]))
    torch.testing.assert_close(missing, torch.tensor([[0.0, 0, 1], [0, 0, 1], [1, 0, 1]]))
    far, _, _ = made(torch.tensor([[1e30, 6.0, 2.0]]), made.bucket(USER[:1], ITEM[:1]))
    torch.testing.assert_close(far, torch.tensor([[MAX_DEVIATIONS, 1.0, 2.0]]))


def test_an_id_is_its_bucket_for_good_and_one_in_a_bucket_never_seen_is_zero():
    made = encoder().eval()
    _, _, known = made(FEATURES, made.bucket(USER, ITEM))
    _, _, new = made(FEATURES, made.bucket(USER + 2**40, -ITEM))
    assert (known != 0).all()
    assert (new == 0).all(), "of 1024 buckets 3 were seen; these ids fall into others"
    torch.testing.assert_close(made.bucket(USER, ITEM), Encoder(9, 1024, 2, 0.0, 0.0).bucket(USER, ITEM))
    users, items = made.bucket(torch.arange(5000), torch.arange(5000)).T
    assert users.max() < 1024 <= items.min()
    assert torch.bincount(users).max() < 20, "ids spread over the buckets"


def test_training_hides_a_share_of_the_features_and_of_the_ids():
    made = encoder(feature_dropout=0.5, id_dropout=0.5).train()
    rows, bucket = FEATURES[:1].repeat(4000, 1), made.bucket(USER, ITEM)[:1].repeat(4000, 1)
    torch.manual_seed(0)
    values, missing, ids = made(rows, bucket)
    assert 0.45 < missing[:, 1].mean() < 0.55
    assert (values[:, 0][missing[:, 0] == 1] == 0).all()
    assert 0.45 < (ids == 0).all(dim=2).float().mean() < 0.55
