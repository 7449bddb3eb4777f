"""What a run imports before it computes anything: a run from the store is mostly start-up."""

import subprocess
import sys


def test_the_flows_import_neither_torch_nor_ray():
    """Ray's processes import torch; the one that follows them, and a run whose stages are all stored, has no use for it."""
    look = "import sys, flows.serve.deployments; print(sorted({'torch', 'transformers', 'ray'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
