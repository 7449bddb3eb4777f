"""Whole process trees are found and ended, and a process ends with the one that started it."""

import os
import signal
import subprocess
import sys
import time

import psutil

from flows.serve.launch import ends_with_this_process
from flows.serve.processes import children, descendants, end

_STUBBORN = "import signal,time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until_gone(pid: int) -> None:
    deadline = time.monotonic() + 10
    while _runs(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _runs(pid)


def test_a_whole_tree_of_processes_is_found_and_ended_also_those_that_ignore_sigterm():
    code = f"import subprocess,sys; p=subprocess.Popen([sys.executable,'-c',{_STUBBORN!r}]); p.wait()"
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    parent.stdout.readline()
    below = descendants(parent.pid)
    assert below == children(parent.pid)
    assert len(below) == 1
    end([parent.pid, *below], 0.5)
    assert parent.wait(5) == -signal.SIGTERM  # its parent, here, learns how it ended
    _wait_until_gone(below[0])


def test_what_is_gone_has_no_descendants_and_ending_it_again_is_no_error():
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert descendants(done.pid) == []
    end([done.pid], 0.1)


_ADOPTS = """
import os, subprocess, sys, time
from flows.serve.processes import adopt_orphans, children
adopt_orphans()
code = "import subprocess, sys; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], stdout=subprocess.DEVNULL); print(p.pid)"
orphan = int(subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True).stdout)
assert children(os.getpid()) == [orphan], children(os.getpid())
os.kill(orphan, 9)
"""


def test_an_orphan_becomes_a_child_of_who_adopts():
    subprocess.run([sys.executable, "-c", _ADOPTS], check=True, timeout=60)


_PARENT = """
import subprocess, sys, time
from flows.serve.launch import ends_with_this_process
command = ends_with_this_process([sys.executable, "-c", "import os, time; print(os.getpid(), flush=True); time.sleep(60)"])
child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
print(child.stdout.readline().strip(), flush=True)
time.sleep(60)
"""


def test_a_launched_program_ends_with_its_parent_also_when_that_is_killed():
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert _runs(child)
    os.kill(parent.pid, signal.SIGKILL)
    parent.communicate()
    _wait_until_gone(child)


def test_a_program_whose_parent_is_gone_already_is_not_started():
    command = ends_with_this_process([sys.executable, "-c", "print('started')"])
    at = command.index(str(os.getpid()))
    command[at] = "1" if os.getpid() != 1 else "2"
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")


def test_no_code_runs_between_fork_and_exec():
    """A child of a process with threads must not run Python there: a lock of another thread would never be free."""
    import flows.serve

    folder = os.path.dirname(flows.serve.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            with open(os.path.join(folder, name)) as source:
                assert "preexec_fn=" not in source.read(), name
