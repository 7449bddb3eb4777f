"""`make bench`: every measurement in this folder, one after the other; names after the command pick some.

python -m tests.bench            all
python -m tests.bench decode     bench_decode alone
python -m tests.bench promises   bench_promises, which counts failures and measures no speed: never among all
"""

import importlib
import pkgutil
import sys

from tests import bench


def main(wanted: list[str]) -> None:
    names = [m.name for m in pkgutil.iter_modules(bench.__path__) if m.name.startswith("bench_")]
    chosen = [n for n in names if (n.removeprefix("bench_") in wanted if wanted else n != "bench_promises")]
    if not chosen:
        sys.exit(f"no such benchmark; there are {', '.join(n.removeprefix('bench_') for n in names)}")
    for name in chosen:
        print(f"== {name}", flush=True)
        sys.argv = [name]  # its own options keep their defaults
        importlib.import_module(f"tests.bench.{name}").main()


if __name__ == "__main__":
    main(sys.argv[1:])
