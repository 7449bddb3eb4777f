import pytest

from tests.support.rl_runs import write_shop
from tests.support.sft_runs import write_files


@pytest.fixture
def shop(tmp_path):
    return write_shop(tmp_path)


@pytest.fixture
def files(tmp_path):
    return write_files(tmp_path)
