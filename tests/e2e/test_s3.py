"""The store on S3, against an S3 server on this machine (moto, installed by the test; skipped where it cannot be)."""

import shutil
import uuid

import pytest

from genrec.errors import GenrecError
from genrec.in_service.registry import Registry
from genrec.store.remote import RemoteStore
from tests.support.extras import need

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]  # pip alone takes minutes on a busy machine


@pytest.fixture
def machines(tmp_path, monkeypatch):
    """Two machines that share a bucket."""
    need("s3", "s3fs>=2026.9", "moto[server]>=5.2,<6")
    import s3fs  # type: ignore[import-not-found]
    from moto.server import ThreadedMotoServer  # type: ignore[import-not-found]

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1",
                        "AWS_ENDPOINT_URL": f"http://{host}:{port}"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    s3fs.S3FileSystem.clear_instance_cache()  # of another address
    bucket = f"bucket-{uuid.uuid4().hex}"
    s3fs.S3FileSystem().mkdir(bucket)
    yield [RemoteStore(f"s3://{bucket}/shop", tmp_path / name) for name in ("one", "two")]
    server.stop()


def _commit(store, key, text, **more):
    with store.scratch() as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a.txt").write_text(text)
        settings = {"version": 1, "config_slice": {}, "inputs": {}, "summary": {}, "seconds": 0.0}
        return store.commit(key, "sid", folder, **settings, **more)


def test_artifacts_are_shared_whole_or_not_at_all_and_the_first_wins(machines):
    one, two = machines
    first = _commit(one, "sid-1", "first")
    assert two.lookup("sid-1").digest == first.digest
    assert _commit(two, "sid-1", "second").digest == first.digest
    _commit(one, "sid-1", "new", replace=True)
    assert (two.lookup("sid-1").path / "deep" / "a.txt").read_text() == "new"
    marker = one._marker("sid-1")
    one.fs.pipe_file(f"{one._object('sid-1')}/{marker['upload']}/deep/a.txt", b"damaged")
    shutil.rmtree(one.object_path("sid-1"))
    assert one.lookup("sid-1") is None
    assert len(one._names(f"{one.base}/corrupt")) == 1


def test_every_machine_sees_the_model_in_service_and_none_overwrites_a_change(machines):
    one, two = machines
    Registry(one, "shop").promote("run-a", {"sid": _commit(one, "sid-1", "a").key}, "")
    Registry(two, "shop").promote("run-b", {"sid": _commit(two, "sid-2", "b").key}, "")
    assert [r.run_id for r in Registry(one, "shop").history()] == ["run-a", "run-b"]
    with pytest.raises(GenrecError, match="written by another process"):
        two.write_document("service/shop/000001.json", "{}", new=True)
