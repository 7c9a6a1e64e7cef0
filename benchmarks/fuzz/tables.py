"""CSV tables and text lists of every set, and a table of one's own."""

import csv
import io
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from random import Random

from benchmarks.fuzz.changes import WORDS, change_bytes
from benchmarks.fuzz.target import Part, Target, mutate_part, part_opens, read_part, seeds_of
from benchmarks.fuzz.trees import cbis_ddsm, embed, mmc_amd, rsna_mammo, table, vindr_mammo
from data_modules.errors import DataError
from data_modules.knee import tables as knee
from data_modules.knee.lists import read_list
from data_modules.mammography.cbis_ddsm import tables as cbis_tables
from data_modules.mammography.embed import tables as embed_tables
from data_modules.mammography.rsna import tables as rsna_tables
from data_modules.mammography.vindr import tables as vindr_tables
from data_modules.retina.eyes import make_cases as make_eyes
from data_modules.retina.eyes import patients_of, scan_split
from data_modules.retina.layout import find_layout
from data_modules.skin import tables as skin
from data_modules.splits import SPLITS
from data_modules.table import read_table
from data_modules.tabular.rows import Columns, make_cases, read_rows, split_rows
from data_modules.variables import Variables

READERS = (
    "data_modules/table.py",
    "data_modules/tabular/rows.py",
    "data_modules/tabular/classes.py",
    "data_modules/variables.py",
    "data_modules/skin/tables.py",
    "data_modules/knee/tables.py",
    "data_modules/knee/lists.py",
    "data_modules/retina/lists.py",
    "data_modules/retina/eyes.py",
    "data_modules/mammography/official.py",
    "data_modules/mammography/rsna/tables.py",
    "data_modules/mammography/vindr/tables.py",
    "data_modules/mammography/cbis_ddsm/tables.py",
    "data_modules/mammography/cbis_ddsm/rows.py",
    *(
        f"data_modules/mammography/embed/{name}.py"
        for name in (
            "tables",
            "files",
            "cells",
            "legend",
            "images",
            "findings",
            "breasts",
            "cancer",
        )
    ),
)


def make(folder: Path) -> Target:
    """The target.

    Args:
        folder: To write the sets to.
    """
    parts = [*_derm7pt(folder / "derm7pt"), *_mrnet(folder / "mrnet"), *_mmc_amd(folder / "mmc_amd")]
    for root, module, write in (
        (folder / "rsna", rsna_tables, rsna_mammo),
        (folder / "vindr", vindr_tables, vindr_mammo),
        (folder / "cbis", cbis_tables, cbis_ddsm),
        (folder / "embed", embed_tables, embed),
    ):
        write(root)
        files = sorted(root.rglob("*.csv"))
        parts += [_part(root, str(file.relative_to(root)), partial(module.read_samples, root)) for file in files]
    parts += _own(folder / "own")
    return Target(READERS, seeds_of(parts), partial(part_opens, parts), partial(read_part, parts), mutate_part(mutate))


def own_columns() -> Columns:
    """What the columns of the table in `trees.table` are."""
    from data_modules.tabular.classes import ClassColumn

    return Columns(
        images={"photo": "photo", "scan": "scan"},
        labels=ClassColumn("class", class_names=["no", "yes"], class_map={"maybe": "yes"}),
        case="case",
        group="patient",
        split="split",
        variables=Variables({"age": {"mean": 50, "std": 10}, "sex": ["f", "m"]}, name="own"),
        units={"breast": "breast"},
    )


def read_own(root: Path, file: str) -> object:
    """A table of one's own, as its DataModule reads it, and the same with several labels."""
    from data_modules.tabular.classes import LabelColumns

    columns = own_columns()
    rows = read_rows(root, file, columns, labelled=True, split=True, name="own")
    several = Columns(
        images={"photo": "photo"},
        labels=LabelColumns(["a", "b"]),
        case=None,
        group=None,
        split=None,
        variables=None,
        units={},
    )
    others = read_rows(root, file, several, labelled=True, split=False, name="own")
    return (
        split_rows(rows, "split"),
        make_cases(rows, columns, allow_missing=True),
        make_cases(others, several, allow_missing=True),
    )


def mutate(data: bytes, random: Random) -> bytes:
    """Another cell, row or column, or other bytes behind the header."""
    if random.random() < 0.2:
        end = 0 if random.random() < 0.2 else data.find(b"\n") + 1
        return change_bytes(data, random, start=end)
    text = data.decode("utf-8", errors="replace")
    separator = "\t" if "\t" in text else "," if "," in text else " "
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))
    except csv.Error:
        return change_bytes(data, random)
    if not any(rows):
        return change_bytes(data, random)
    for _ in range(random.choice((1, 1, 2, 4))):
        change_rows(rows, random)
    stream = io.StringIO(newline="")
    ends = random.choice(("\n", "\n", "\r\n"))
    try:
        csv.writer(stream, delimiter=separator, lineterminator=ends).writerows(rows)
    except csv.Error:
        return change_bytes(data, random)
    return stream.getvalue().encode("utf-8", errors="replace")


def change_rows(rows: list[list[str]], random: Random) -> None:
    """Change a table in place, its header seldom."""
    filled = [row for row in rows if row]
    if not filled:
        return
    body = filled[1:] if len(filled) > 1 and random.random() < 0.95 else filled
    row = random.choice(body)
    match random.randrange(12):
        case 0:
            rows.append(list(row))
        case 1 if len(body) > 1:
            rows.remove(row)
        case 2:
            row.append(random.choice(WORDS))
        case 3:
            del row[-1 if len(row) > 1 else 1 :]
        case 4 | 5 | 6:
            row[random.randrange(len(row))] = random.choice(WORDS)
        case 7 | 8:  # what another row has there
            at = random.randrange(len(row))
            other = random.choice(body)
            row[at] = other[at] if at < len(other) else ""
        case 9:
            at = random.randrange(len(row))
            row[at] = random.choice(random.choice([line for line in filled if line] or [row]) or [""])
        case _:
            at = random.randrange(len(row))
            place = random.randint(0, len(row[at]))
            row[at] = row[at][:place] + random.choice((*WORDS, "1", "x")) + row[at][place + random.randint(0, 2) :]


def _part(root: Path, file: str, read: Callable[[], object], *, lines: bool = False) -> Part:
    """A file of a set; of lists every text opens."""

    def opens(data: bytes) -> bool:
        """Whether it is a table with the columns of the valid one, or text."""
        if lines:
            return b"\0" not in data
        path = root / f"{file}.header"
        path.write_bytes(data)
        try:
            return columns <= set(read_table(root, f"{file}.header", source="").columns)
        except DataError:
            return False

    columns = set() if lines else set(read_table(root, file, source="").columns)
    return Part(root / file, (root / file).read_bytes(), read, opens)


def _derm7pt(root: Path) -> list[Part]:
    from data_modules.synthetic import derm7pt

    derm7pt.write(root, cases=12, seed=0, img_size=24)
    encoder = Variables({"sex": ["female", "male"], "seven_point_score": {"mean": 3, "std": 2}}, name="Derm7pt")

    def read() -> object:
        """Cases and splits."""
        cases = skin.read_meta(root, allow_missing=True, encoder=encoder)
        return skin.read_indexes(root, rows=len(cases))

    return [_part(root, file, read) for file in (skin.META, *skin.INDEXES.values())]


def _mrnet(root: Path) -> list[Part]:
    from data_modules.synthetic import mrnet

    mrnet.write(root, cases=12, seed=0, img_size=24)
    lines = [f"train/axial/{n:04},,train/sagittal/{n:04}.npy\tabnormal,acl" for n in range(4)]
    (root / "list.txt").write_text("\n".join([*lines, "a.npy,b.npy,c.npy", "d.npy,e.npy,\t"]) + "\n")
    files = [knee.label_file(split, label) for split in knee.OFFICIAL_SPLITS for label in knee.LABELS]

    def read() -> object:
        """Both official splits."""
        return [knee.read_exams(root, split) for split in knee.OFFICIAL_SPLITS]

    listed = partial(read_list, root, "list.txt", planes=("axial", "sagittal"), allow_missing=True)
    return [*(_part(root, file, read, lines=True) for file in files), _part(root, "list.txt", listed, lines=True)]


def _mmc_amd(root: Path) -> list[Part]:
    mmc_amd(root)
    layout = find_layout(root)

    def read() -> object:
        """All three splits, eye by eye."""
        made = []
        for split in SPLITS:
            entries, faults = scan_split(layout, "AP", split, modalities=layout.folders, labelled=True)
            cases, more = make_eyes(entries, patients=patients_of(root, "AP", SPLITS))
            for fault in (*faults, *more):
                raise fault
            made.append(cases)
        return made

    files = sorted(root.rglob("*train*/*/*.txt"))
    return [_part(root, str(file.relative_to(root)), read, lines=True) for file in files]


def _own(root: Path) -> Sequence[Part]:
    root.mkdir(parents=True)
    (root / "table.csv").write_text(table())
    return [_part(root, "table.csv", partial(read_own, root, "table.csv"))]
