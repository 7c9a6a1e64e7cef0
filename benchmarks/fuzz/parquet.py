"""Parquet tables: a table of one's own, in many types."""

import io
from functools import partial
from pathlib import Path
from random import Random
from tempfile import NamedTemporaryFile
from typing import Any

from benchmarks.fuzz.changes import NUMBERS, WORDS, change_bytes
from benchmarks.fuzz.tables import read_own
from benchmarks.fuzz.target import Part, Target, mutate_part, part_opens, read_part, seeds_of
from benchmarks.fuzz.trees import table
from data_modules.first_reading import refusal

READERS = (
    "data_modules/parquet.py",
    "data_modules/tabular/rows.py",
    "data_modules/tabular/classes.py",
    "data_modules/variables.py",
)
TAIL = 8
"""Behind the footer: its length and the letters PAR1."""


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write inputs to.
    """
    own = folder / "own"
    own.mkdir()
    reads = partial(read_own, own, "table.parquet")
    parts = [Part(own / "table.parquet", content, reads, opens) for content in tables()]
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate_part(mutate))


def tables() -> list[bytes]:
    """The same table as text, with numbers of many types, and in other ways of writing."""
    import polars as pl

    text = pl.read_csv(table().encode(), infer_schema=False)
    typed = text.with_columns(
        pl.col("case").cast(pl.Int16),
        pl.col("a").cast(pl.Int8).cast(pl.Boolean),
        pl.col("age").cast(pl.Float32),
        pl.col("class").cast(pl.Categorical),
        pl.col("b").cast(pl.UInt8),
    )
    dated = typed.with_columns(pl.lit("2020-01-02").str.to_date().alias("day"), pl.lit([1, 2]).alias("list"))
    return [
        *(written(frame, compression="uncompressed") for frame in (text, typed, dated)),
        written(text, compression="zstd"),
        written(typed, compression="snappy", row_group_size=3),
    ]


def written(frame: Any, **options: Any) -> bytes:
    """A table's file."""
    stream = io.BytesIO()
    frame.write_parquet(stream, **options)
    return stream.getvalue()


def opens(data: bytes) -> bool:
    """Whether its schema and its number of rows can be read."""
    with NamedTemporaryFile(suffix=".parquet") as file:
        file.write(data)
        file.flush()
        return refusal(Path(file.name), columns=[], max_rows=1 << 62) is None


def mutate(data: bytes, random: Random) -> bytes:
    """Another column or cell, other bytes of the pages or of the footer."""
    draw = random.random()
    if draw < 0.6:
        changed = _as_frame(data, random)
        if changed is not None:
            return changed
    footer = len(data) - TAIL - int.from_bytes(data[-TAIL:-4], "little")
    if draw < 0.9 and 4 < footer < len(data):
        return data[:4] + change_bytes(data[4:footer], random) + data[footer:]
    return change_bytes(data, random, start=min(max(footer, 4), len(data)) if draw < 0.95 else 4)


def _as_frame(data: bytes, random: Random) -> bytes | None:
    """Written anew with one column changed; None where it cannot be read."""
    import polars as pl

    try:
        frame = _read(data)
        if frame is None or not frame.columns:
            return None
        name = random.choice(frame.columns)
        match random.randrange(11):
            case 0:
                frame = frame.drop(name)
            case 1:
                frame = frame.rename({name: random.choice(("x", "", f"{name} ", "class", "a"))}, strict=False)
            case 2:
                kinds = (
                    pl.Int8,
                    pl.UInt64,
                    pl.Float32,
                    pl.Float64,
                    pl.Boolean,
                    pl.Binary,
                    pl.Categorical,
                    pl.String,
                    pl.Date,
                )
                frame = frame.with_columns(pl.col(name).cast(random.choice(kinds), strict=False))
            case 3:
                frame = frame.with_columns(odd_column(random).alias(name))
            case 4:
                frame = random.choice(
                    (frame.head(0), pl.concat([frame, frame]), frame.reverse(), frame.sample(fraction=0.5, seed=1))
                )
            case _:
                cells = frame[name].to_list()
                if not cells:
                    return None
                at = random.randrange(len(cells))
                cells[at] = None if random.random() < 0.2 else random.choice((*WORDS, *map(str, NUMBERS[:9]), cells[0]))
                frame = frame.with_columns(pl.Series(name, cells, strict=False))
        options = random.choice(
            ({"compression": "uncompressed"}, {"compression": "uncompressed"}, {"compression": "zstd"})
        )
        return written(frame, **options)
    except KeyboardInterrupt:
        raise
    except BaseException:  # what cannot be read or cast is not mutated in this way; a panic is no Exception
        return None


def _read(data: bytes) -> Any:
    """The table, or None: some end the process that reads them."""
    import polars as pl

    with NamedTemporaryFile(suffix=".parquet") as file:
        file.write(data)
        file.flush()
        if refusal(Path(file.name), columns=None, max_rows=1000) is not None:
            return None
        return pl.read_parquet(file.name)


def odd_column(random: Random) -> Any:
    """A column of one value, of a type that tables rarely have."""
    import polars as pl

    return random.choice(
        (
            pl.lit(None),
            pl.lit([1, 2]),
            pl.lit(b"\xff\xfe"),
            pl.lit(2**63, dtype=pl.UInt64),
            pl.lit(float("nan")),
            pl.lit(float("inf")),
            pl.lit("1.5").cast(pl.Decimal(10, 2)),
            pl.struct(pl.lit(1).alias("x")),
            pl.lit(1e300),
            pl.lit("2020-01-02").str.to_datetime("%Y-%m-%d"),
            pl.duration(days=99_999),
            pl.lit(2**31 - 1).cast(pl.Date),
            pl.lit(2**62).cast(pl.Datetime("ns")),
            pl.lit(1).cast(pl.Time),
            pl.lit("x").cast(pl.Categorical),
            pl.lit("a").cast(pl.Enum(["a", "b"])),
            pl.lit("\ud7ff\x00"),
            pl.lit(-0.0),
            pl.lit(True),
        )
    )
