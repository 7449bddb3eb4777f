"""gzip and zstd files: what is whole comes out whole, what is damaged comes out up to the damage."""

import gzip
import json
import random
import zlib
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data.compressed import FORMATS, Inflated, is_compressed
from genrec.errors import DamagedFile

TEXT = "\n".join(json.dumps({"n": n, "word": random.Random(n).random()}) for n in range(30_000)).encode()


def _packed(suffix: str, text: bytes) -> bytes:
    if suffix == ".gz":
        return gzip.compress(text, mtime=0)
    return zstandard.ZstdCompressor(write_checksum=True).compress(text)


def _read(folder: Path, suffix: str, packed: bytes, input_bytes: int = 5_000) -> tuple[bytes, Inflated]:
    path = folder / f"a{suffix.upper()}"
    path.write_bytes(packed)
    inflated = Inflated(path, path.name, input_bytes)
    return b"".join(inflated), inflated


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("members", [1, 3])
def test_members_are_one_stream(suffix: str, members: int, tmp_path: Path) -> None:
    packed = _packed(suffix, TEXT)
    found, inflated = _read(tmp_path, suffix, packed * members)
    assert found == TEXT * members
    assert inflated.damage == ""
    assert inflated.position == len(packed) * members


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_truncated_file_is_read_up_to_the_cut(suffix: str, tmp_path: Path) -> None:
    packed = _packed(suffix, TEXT)
    found, inflated = _read(tmp_path, suffix, packed + packed[: len(packed) * 3 // 4])
    assert inflated.damage == "the compressed file ends before its end mark"
    assert (TEXT * 2).startswith(found)
    assert len(found) > 1.5 * len(TEXT)
    assert found.count(b"\n") < (TEXT * 2).count(b"\n")


@pytest.mark.parametrize("suffix", FORMATS)
def test_what_stands_before_the_damage_comes_out(suffix: str, tmp_path: Path) -> None:
    packed = bytearray(_packed(suffix, TEXT))
    whole = len(packed)
    packed[-3] ^= 0xFF  # in the checksum behind the data
    for input_bytes in (whole + 1000, 777):
        found, inflated = _read(tmp_path, suffix, bytes(packed), input_bytes)
        assert inflated.damage.startswith("the compressed data is damaged")
        assert found == TEXT


def test_what_follows_a_whole_frame_of_zstd_is_damage(tmp_path: Path) -> None:
    found, inflated = _read(tmp_path, ".zst", _packed(".zst", TEXT) + b"not compressed at all")
    assert found == TEXT
    assert inflated.damage.startswith("the compressed data is damaged")


@settings(max_examples=60, deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), flip=st.sampled_from([0, 1, 64, 255]), members=st.integers(1, 2))
def test_of_a_damaged_or_cut_file_comes_out_what_zlib_hands_out(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int, members: int
) -> None:
    packed = bytearray(gzip.compress(TEXT[:200_000], mtime=0) * members)
    at = int(place * len(packed))
    if flip:
        packed[at] ^= flip
    else:
        del packed[max(at, 3) :]
    with pytest.MonkeyPatch.context() as patch:
        results = []
        for name in ("fast", "start"):
            patch.setitem(FORMATS, ".gz", FORMATS[".gz"]._replace(fast=getattr(FORMATS[".gz"], name)))
            try:
                found, inflated = _read(tmp_path_factory.mktemp("cut"), ".gz", bytes(packed))
                results.append((found, inflated.damage, inflated.trailing))
            except DamagedFile as error:
                results.append(str(error))
    assert results[0] == results[1]


@pytest.mark.parametrize("behind", [b"\n", b"not compressed at all", b"x" * 20_000])
def test_bytes_behind_the_last_member_of_gzip_are_left_out(behind: bytes, tmp_path: Path) -> None:
    packed = _packed(".gz", TEXT)
    found, inflated = _read(tmp_path, ".gz", packed + behind)
    assert (found, inflated.damage, inflated.trailing) == (TEXT, "", True)
    assert inflated.position == len(packed + behind)


@pytest.mark.parametrize("gap", [1, 4_000, 9_000])
def test_bytes_between_two_members_of_gzip_are_damage(gap: int, tmp_path: Path) -> None:
    packed = _packed(".gz", TEXT)
    found, inflated = _read(tmp_path, ".gz", packed + b"x" * gap + packed)
    assert (found, inflated.trailing) == (TEXT, False)
    assert inflated.damage.startswith("the compressed data is damaged")


def test_padding_behind_gzip_is_passed(tmp_path: Path) -> None:
    padded, inflated = _read(tmp_path, ".gz", gzip.compress(TEXT) + bytes(20_000))
    assert (padded, inflated.damage, inflated.trailing) == (TEXT, "", False)


def test_frames_that_hold_no_data_are_passed(tmp_path: Path) -> None:
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    found, inflated = _read(tmp_path, ".zst", skippable + _packed(".zst", TEXT) + skippable)
    assert (found, inflated.damage) == (TEXT, "")


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_file_of_another_kind_is_named(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(DamagedFile, match=rf"a{suffix.upper()}: not a {FORMATS[suffix].name} file"):
        _read(tmp_path, suffix, TEXT)


def test_the_output_of_a_step_is_bounded(tmp_path: Path) -> None:
    packed = zstandard.ZstdCompressor(level=19).compress(bytes(200 << 20))
    path = tmp_path / "bomb.zst"
    path.write_bytes(packed)
    sizes = [len(piece) for piece in Inflated(path, path.name)]
    assert sum(sizes) == 200 << 20
    assert max(sizes) <= 64 << 20


def test_compressed_files_are_told_by_their_name() -> None:
    assert is_compressed(Path("a.jsonl.GZ"))
    assert is_compressed(Path("a.csv.zst"))
    assert not is_compressed(Path("a.jsonl"))


def _member(text: bytes, flags: int, extra: bytes, name: bytes) -> bytes:
    """A member of gzip whose header has the optional fields of `flags` (RFC 1952, section 2.3.1)."""
    header = b"\x1f\x8b\x08" + bytes([flags]) + b"\0\0\0\0\0\xff"
    if flags & 4:
        header += len(extra).to_bytes(2, "little") + extra
    header += (name + b"\0") * bool(flags & 8) + (name + b"!\0") * bool(flags & 16)
    if flags & 2:
        header += (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
    deflate = zlib.compressobj(wbits=-15)
    body = deflate.compress(text) + deflate.flush()
    return header + body + zlib.crc32(text).to_bytes(4, "little") + len(text).to_bytes(4, "little")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.binary(max_size=30),
            st.integers(1, 9),
            st.sampled_from([flags for flags in range(32) if not flags & 1]),
            st.binary(max_size=12),
            st.binary(max_size=12),
        ),
        min_size=1,
        max_size=5,
    ),
    st.integers(1, 80),
)
def test_members_with_any_fields_in_their_headers_are_read_wherever_they_are_cut(
    tmp_path_factory: pytest.TempPathFactory, members: list[tuple[bytes, int, int, bytes, bytes]], input_bytes: int
) -> None:
    packed = b"".join(
        _member(text * times, flags, extra, name.replace(b"\0", b"n")) for text, times, flags, extra, name in members
    )
    found, inflated = _read(tmp_path_factory.mktemp("gz"), ".gz", packed, input_bytes)
    assert (found, inflated.damage) == (b"".join(text * times for text, times, *_ in members), "")
