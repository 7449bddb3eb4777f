"""Log lines of Ray's processes reach the process that waits for them."""

import logging
import warnings

from tasks.ray.worker_log import LogReader, log_to


def test_log_lines_arrive_whole_in_order_and_once(tmp_path):
    reader, stranger = LogReader(tmp_path), LogReader(tmp_path)
    with log_to(reader.file(0)) as logger:
        logger.info("one %d", 1)
        assert list(reader.new()) == [(logging.INFO, "one 1")]
        logging.getLogger("genrec.train.sft").warning("two")
        logging.getLogger("elsewhere").info("not ours and no warning")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("three", UserWarning, stacklevel=1)
        with open(reader.file(0), "a") as half:
            half.write('[20, "half a li')
    found = list(reader.new())
    assert [level for level, _ in found] == [logging.WARNING, logging.WARNING]
    assert found[0][1] == "two"
    assert "three" in found[1][1]
    assert list(stranger.new()) == []
    reader.remove()
    assert list(tmp_path.iterdir()) == []
