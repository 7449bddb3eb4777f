"""The rows of a stage's shards: what was not worked on to its end is cancelled, not failed."""

from concurrent.futures import Future

import pytest

from tasks.ray.shard_rows import _Ended, _last_until


def test_a_shard_that_was_not_worked_on_to_its_end_is_cancelled_and_one_that_failed_fails():
    done, stopped, failed = Future(), Future(), Future()
    done.set_result("")
    stopped.set_result("the stage was stopped")
    failed.set_exception(ValueError("lost power"))
    assert _last_until(_Ended(done)) is None
    state = _last_until(_Ended(stopped))
    assert (state.is_cancelled(), state.message) == (True, "the stage was stopped")
    with pytest.raises(ValueError, match="lost power"):
        _last_until(_Ended(failed))
