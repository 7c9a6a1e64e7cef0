"""Lists of exams as Early Intervention's code has them: three volumes, a tab, and the labels that are present."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath

from data_modules.cases import Case, ImageFile
from data_modules.errors import (
    DatasetNotFoundError,
    DataSettingsError,
    TableError,
    UnreadableFileError,
    nearest,
)
from data_modules.knee.tables import LABELS, PLANES
from data_modules.table import check_size

FORM = "axial.npy,coronal.npy,sagittal.npy<TAB>abnormal,acl,meniscus"


def check_list_file(file: str) -> str:
    """The path of a list file, if it stays below the root.

    Raises:
        DataSettingsError: If it does not.
    """
    path = PureWindowsPath(file)
    if path.anchor or ".." in path.parts or not path.parts:
        raise DataSettingsError(f"MRNet: list file {file!r} has to be a path below the root; copy the file there")
    return path.as_posix()


def read_list(root: Path, file: str, *, planes: Sequence[str], allow_missing: bool) -> list[Case]:
    """Read a list file: ``axial.npy,coronal.npy,sagittal.npy<TAB>abnormal,acl,meniscus`` a line.

    Paths start from the root; no label is a normal exam; without a tab the label is unknown. An exam's id is the name
    of its first volume.

    Args:
        root: Folder of the data set.
        file: The list, below the root.
        planes: Those that every exam needs.
        allow_missing: Whether a plane may be left empty.

    Raises:
        DatasetNotFoundError: If there is no such file.
        UnreadableFileError: If it cannot be read.
        TableError: Naming the line that cannot be used.
    """
    try:
        check_size(root / file)
        text = (root / file).read_bytes().decode("utf-8-sig", errors="replace")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetNotFoundError(
            f"MRNet not found: no {file} below {root}; correct list_files, or leave it out for the official tables"
        ) from error
    except UnreadableFileError:
        raise
    except OSError as error:
        raise UnreadableFileError(f"{root / file}: cannot be read ({error.strerror}); check its permissions") from error
    cases: list[Case] = []
    seen: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            case = _parse(line, f"{file} line {number}", planes=planes, allow_missing=allow_missing)
            if case.case_id in seen:
                raise TableError(
                    f"{case.where}: exam {case.case_id!r} is in {seen[case.case_id]} too; remove one of them"
                )
            seen[case.case_id] = case.where
            cases.append(case)
    return cases


def _parse(line: str, where: str, *, planes: Sequence[str], allow_missing: bool) -> Case:
    volumes, tab, labels = line.partition("\t")
    paths = [path.strip() for path in volumes.split(",")]
    if len(paths) != len(PLANES):
        raise TableError(f"{where}: {len(paths)} volumes where three are named, as in {FORM}")
    named: dict[str, str] = dict(zip(PLANES, paths, strict=True))
    absent = [plane for plane in planes if not named[plane]]
    if absent and not allow_missing:
        raise TableError(f"{where}: no {absent[0]} volume; fill in its path, or set allow_missing: true")
    exam_id = next((PurePosixPath(PureWindowsPath(path).as_posix()).stem for path in paths if path), "")
    if not exam_id:
        raise TableError(f"{where}: it names no volume; remove the line")
    return Case(
        case_id=exam_id,
        group_id=exam_id,
        images={plane: (ImageFile(path=path, where=f"{where}, {plane}"),) for plane, path in named.items() if path},
        label=_label(labels, where) if tab else None,
        where=where,
    )


def _label(text: str, where: str) -> tuple[int, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in LABELS:
            raise TableError(f"{where}: unknown label {name!r}; {nearest(name, LABELS)}")
    if names and LABELS[0] not in names:
        raise TableError(f"{where}: {names[0]} without {LABELS[0]}; a tear is abnormal: add {LABELS[0]}")
    return tuple(int(name in names) for name in LABELS)
