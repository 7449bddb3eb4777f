"""The server's log does not grow without bound, and a server that writes to it goes on."""

from flows.serve import server_log


def test_a_log_that_grew_is_moved_aside_once_and_its_writer_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(server_log, "MAX_BYTES", 100)
    log = tmp_path / "server.log"
    server_log.keep_small(log)  # not there yet
    with open(log, "ab", buffering=0) as writer:
        for part in (b"a", b"b"):
            writer.write(part * 100)
            server_log.keep_small(log)
            assert log.stat().st_size == 100, "not above its size yet"
            writer.write(part)
            server_log.keep_small(log)
            assert log.read_bytes() == b""
        writer.write(b"more")
    assert log.read_bytes() == b"more"
    assert (tmp_path / "server.log.1").read_bytes() == b"b" * 101
    assert len(list(tmp_path.iterdir())) == 2
