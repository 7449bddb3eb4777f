"""Prepared data sets and their text vectors for the benchmarks of tokenizers: real sets where present, and the shop."""

from pathlib import Path

from genrec.config import Config, DataConfig
from genrec.data import ingest, prepare
from genrec.data.index import index
from genrec.data.merge import merge
from genrec.embed.encode import embed_catalogue

REAL = Path(__file__).parents[3] / "shared" / "data"


def data_sets() -> dict[str, DataConfig]:
    """What can be measured here: the synthetic shop, and the review sets that lie beside the checkout."""
    sets = {"shop": DataConfig(source="synthetic")}
    for name in ("scientific", "beauty"):
        if (REAL / name).is_dir():
            sets[name] = DataConfig(source="table", path=str(REAL / name))
    return sets


def prepared(name: str, folder: Path, data: DataConfig | None = None) -> Path:
    """The set `name`, or `data` under that name: a folder with catalogue.parquet, train.parquet, ... and
    vectors.parquet (LSA of all text); made once.
    """
    ready = folder / name
    if (ready / "vectors.parquet").is_file():
        return ready
    config = Config(data=data or data_sets()[name])
    parts, read, indexed, slices = (folder / f"{name}-{part}" for part in ("parts", "ingest", "index", "slices"))
    for path in (parts, read, indexed, slices, ready):
        path.mkdir(parents=True, exist_ok=True)
    for shard in ingest.plan(config.data, read / "source"):
        ingest.read_shard(shard, config.data, parts)
    merge(parts, config.data, read)
    index(read, config.prepare, indexed)
    prepare.build_shard(indexed, 0, 1, slices)
    prepare.merge_shards(indexed, slices, ready)
    embed_catalogue(ready / "catalogue.parquet", config.embed, parts, ready)
    return ready
