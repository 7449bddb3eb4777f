"""Make an environment one for GPUs: `make setup EXTRA=gpu` runs this inside it.

torch comes as a CPU build from indexes that offer one, and is replaced by the build for CUDA of the same version. faiss-gpu takes
the place of faiss-cpu (both import as `faiss`), with the CUDA 12 libraries it declares: they lie beside torch's CUDA 13.
"""

import subprocess
import sys

FAISS = "faiss-gpu>=1.15.1"
_TORCH_BUILD = "import torch; print(torch.__version__, torch.version.cuda)"
_FAISS_WORKS = "import faiss; faiss.StandardGpuResources"


def main() -> None:
    """Exit with a message where the packages cannot be had or do not import."""
    for command in commands(torch_build()):
        if subprocess.run([sys.executable, "-m", "pip", *command], check=False).returncode:
            sys.exit(f"error: pip {' '.join(command)} failed; the packages for a GPU come from PyPI (Linux, x86-64)")
    build = torch_build()
    if build.endswith("None"):
        sys.exit(
            f"error: torch {build.split()[0]} is still a build for the CPU: the index has no other. Install one from "
            "https://download.pytorch.org/whl/ by hand"
        )
    if subprocess.run([sys.executable, "-c", _FAISS_WORKS], check=False).returncode:
        sys.exit("error: faiss-gpu is installed but does not import; the lines above say which library it misses")
    print(f"torch {build.split()[0]} for CUDA {build.split()[1]}, faiss on the GPU")


def torch_build() -> str:
    """Version of the installed torch and of the CUDA it is built for, or None: `2.13.0+cpu None`."""
    return subprocess.run(
        [sys.executable, "-c", _TORCH_BUILD], check=True, capture_output=True, text=True
    ).stdout.strip()


def commands(build: str) -> list[list[str]]:
    """What pip is to do in an environment with that torch."""
    version, cuda = build.split()
    # `===` takes the very name, so that a build for the CPU, which has a longer one, does not count as it.
    torch = [["install", "--quiet", f"torch==={version.partition('+')[0]}"]] if cuda == "None" else []
    return [*torch, ["uninstall", "--quiet", "--yes", "faiss-cpu"], ["install", "--quiet", FAISS]]


if __name__ == "__main__":
    main()
