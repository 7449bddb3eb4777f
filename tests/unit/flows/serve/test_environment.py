"""What surrounds a command: proxies, and a Prefect server that was there once."""

import http.server
import os
import socket
import subprocess
import sys
import threading

import pytest

from flows.serve import environment
from genrec.errors import GenrecError
from tests.e2e.conftest import ROOT
from tests.support.served import clean_environment


@pytest.fixture
def health():
    """The URL of a server on loopback that answers /health and refuses everything else."""

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200 if self.path == "/api/health" else 401)
            self.end_headers()

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


_ASK = """
import sys, urllib.request
from pathlib import Path
from flows.serve import environment
environment.prepare(Path(sys.argv[1]))
environment.check_api()
import httpx  # Prefect's client
with urllib.request.urlopen(sys.argv[2], timeout=20) as answer:
    print(answer.status, httpx.get(sys.argv[2], timeout=20).status_code)
"""


@pytest.mark.parametrize("spelling", [str.upper, str.lower])
def test_no_proxy_stands_between_a_command_and_this_machine(tmp_path, health, spelling):
    proxies = {spelling(f"{kind}_proxy"): "http://127.0.0.1:9" for kind in ("http", "https", "all")}
    env = clean_environment(**proxies, **{spelling("no_proxy"): "shop.example"}, PREFECT_API_URL=f"{health}/api")
    command = [sys.executable, "-c", _ASK, str(tmp_path), f"{health}/api/health"]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split() == ["200", "200"], done.stderr


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "a.example, localhost"}, "a.example,localhost,127.0.0.1,::1"),
        ({"no_proxy": "a.example", "NO_PROXY": "b.example"}, "a.example,b.example,127.0.0.1,localhost,::1"),
    ],
)
def test_hosts_that_were_spared_the_proxy_stay_so(monkeypatch, before, after):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, before.get(name, ""))
    environment.spare_loopback_the_proxy()
    environment.spare_loopback_the_proxy()
    assert os.environ["no_proxy"] == os.environ["NO_PROXY"] == after


def test_no_proxy_for_all_hosts_is_left_as_it_is(monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("NO_PROXY", "")
    environment.spare_loopback_the_proxy()
    assert os.environ["no_proxy"] == "*"


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/api", "http://no-such-host.invalid/api", "somewhere"])
def test_a_prefect_server_that_is_gone_is_named_with_the_way_out(monkeypatch, url):
    monkeypatch.setenv("PREFECT_API_URL", url)
    with pytest.raises(GenrecError, match=f"PREFECT_API_URL {url}: .*unset PREFECT_API_URL"):
        environment.check_api()


def test_a_prefect_server_that_never_answers_is_given_up_in_time(monkeypatch):
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{silent.getsockname()[1]}/api")
        with pytest.raises(GenrecError, match="timed out"):
            environment.check_api(timeout_s=0.2)


def test_what_answers_and_is_no_http_server_is_named_with_the_way_out(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet():
            connection, _ = other.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"220 mail.example ESMTP\r\n")

        answering = threading.Thread(target=greet)
        answering.start()
        monkeypatch.setenv("PREFECT_API_URL", f"http://127.0.0.1:{other.getsockname()[1]}/api")
        with pytest.raises(GenrecError, match="no Prefect server answers there"):
            environment.check_api()
        answering.join()


@pytest.mark.parametrize("path", ["/api", "/api/", "/behind-a-password"])
def test_a_server_that_answers_passes_whatever_it_says(monkeypatch, health, path):
    monkeypatch.setenv("PREFECT_API_URL", health + path)
    environment.check_api()


def test_a_command_with_a_dead_server_ends_before_anything_starts(tmp_path):
    env = clean_environment(PREFECT_API_URL="http://127.0.0.1:9/api")
    command = [sys.executable, "-m", "flows", "run", "--config", "conf/demo.yaml", "--store", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert "unset PREFECT_API_URL" in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []
