"""``medlit data``: check a data set, write a look-alike, prepare or shard a mammography set, look at its captions."""

import argparse
import importlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

    from data_modules.audit import Audit, Severity

SOUND, UNSOUND = 0, 2
HEADINGS: "dict[Severity, tuple[str, str]]" = {
    "note": ("Good to know", "dim"),
    "quirk": ("Quirks, dealt with", "yellow"),
    "fault": ("Faults, to be mended before training", "red"),
}
Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class DataSet:
    """What the command line knows of a data set before anything heavy is imported."""

    title: str
    audit: tuple[str, str]
    """Module and function; it takes the root, ``track`` and the options below."""
    synthetic: str
    """Module whose ``write`` makes a look-alike."""
    options: tuple[str, ...] = ()
    """Of ``check``, beside those of every set."""


def _mammography(title: str, name: str, package: str) -> DataSet:
    """One of the four sets that are prepared before they are trained on."""
    audit = (f"data_modules.mammography.{package}.audit", f"audit_{name}")
    return DataSet(title, audit, f"data_modules.synthetic.{name}", ("read",))


SETS = {
    "derm7pt": DataSet(
        "Derm7pt", ("data_modules.skin.audit", "audit_derm7pt"), "data_modules.synthetic.derm7pt", ("target",)
    ),
    "mmc_amd": DataSet(
        "MMC-AMD", ("data_modules.retina.audit", "audit_mmc_amd"), "data_modules.synthetic.mmc_amd", ("split",)
    ),
    "mrnet": DataSet(
        "MRNet", ("data_modules.knee.audit", "audit_mrnet"), "data_modules.synthetic.mrnet", ("allow_missing",)
    ),
    "embed": _mammography("EMBED", "embed", "embed"),
    "rsna_mammo": _mammography("RSNA-Mammo", "rsna_mammo", "rsna"),
    "vindr_mammo": _mammography("VinDr-Mammo", "vindr_mammo", "vindr"),
    "cbis_ddsm": _mammography("CBIS-DDSM", "cbis_ddsm", "cbis_ddsm"),
}
"""By the name on the command line."""

DELEGATED = {
    "prepare": ("medlit.commands.prepare", "make a mammography set's images ready for training, once"),
    "shard": ("medlit.commands.shard", "write a prepared mammography set into few large files, for LitData"),
    "captions": ("medlit.commands.captions", "print captions of a mammography set, their duplicates and lengths"),
}
"""Verbs with options of their own: the module that carries each out, and a line of help."""


def main(args: list[str]) -> int:
    """Carry out ``check``, ``synth``, ``prepare``, ``shard`` or ``captions``.

    Args:
        args: Words after ``data``.

    Returns:
        0; for ``check`` of a set that training would stumble over, 2.

    Raises:
        DataError: If there is no set to read, or the folder to write to holds something else.
    """
    if args and args[0] in DELEGATED:
        code: int = importlib.import_module(DELEGATED[args[0]][0]).main(args[1:])
        return code
    parser = _parser()
    options = parser.parse_args(args)
    if options.verb == "synth":
        return _synth(options.set, options.root, cases=options.cases, seed=options.seed, img_size=options.img_size)
    known = dict.fromkeys(name for data_set in SETS.values() for name in data_set.options)
    given = {name: getattr(options, name) for name in known if getattr(options, name) is not None}
    for name in given:
        if name not in SETS[options.set].options:
            owners = ", ".join(other for other, data_set in SETS.items() if name in data_set.options)
            parser.error(f"--{name} is an option of {owners} alone")
    return _check(options.set, options.root, options=given, most=options.most)


def _check(name: str, root: Path, *, options: dict[str, Any], most: int) -> int:
    module, function = SETS[name].audit
    audit = getattr(importlib.import_module(module), function)(root, track=_track, **options)
    _print(audit, most=most)
    return SOUND if audit.sound else UNSOUND


def _synth(name: str, root: Path, *, cases: int, seed: int, img_size: int | None) -> int:
    write_look_alike(name, root, cases=cases, seed=seed, img_size=img_size)
    told = f"a look-alike {SETS[name].title} of {cases} cases, seed {seed}"
    print(f"{root}: {told}. Look through it: medlit data check {name} --root {root}")
    return SOUND


def write_look_alike(name: str, root: Path, *, cases: int, seed: int, img_size: int | None = None) -> None:
    """Write the look-alike of a set.

    Args:
        name: A key of ``SETS``.
        root: A missing or empty folder, or one with an earlier look-alike.
        cases: How many.
        seed: Zero or more.
        img_size: Side of the pictures, pixels; None: the set's own default.

    Raises:
        DataSettingsError: If a number makes no sense, or the folder holds something else.
    """
    size: dict[str, Any] = {} if img_size is None else {"img_size": img_size}
    importlib.import_module(SETS[name].synthetic).write(root, cases=cases, seed=seed, **size)


def _track(items: Sequence[Item]) -> Iterable[Item]:
    from rich.progress import track

    return track(items, description="decoding images", transient=True)


def _print(audit: "Audit", *, most: int) -> None:
    from rich.console import Console
    from rich.markup import escape

    console = Console(soft_wrap=True, highlight=False)
    console.print(escape(audit.title), style="bold")
    _print_counts(console, audit)
    for severity, (heading, style) in HEADINGS.items():
        kinds = audit.by_kind(severity)
        if kinds:
            console.print(f"\n{heading}", style=f"bold {style}")
        for kind, messages in kinds.items():
            console.print(f"  {escape(kind)}{f': {len(messages)}' if len(messages) > 1 else ''}", style=style)
            shown = messages if most == 0 else messages[:most]
            for message in shown:
                console.print(f"    {escape(message)}")
            if len(shown) < len(messages):
                console.print(f"    and {len(messages) - len(shown)} more (--most 0 lists all)")
    faults = sum(map(len, audit.by_kind("fault").values()))
    number = "1 fault" if faults == 1 else f"{faults} faults"
    console.print(f"\n{number}: training would not be sound" if faults else "\nSound: nothing to mend")


def _print_counts(console: "Console", audit: "Audit") -> None:
    """Classes by split, empty rows and columns left out."""
    from rich.table import Table

    splits = [
        split
        for split in next(iter(audit.counts.values()), {})
        if any(counts[split] for counts in audit.counts.values())
    ]
    table = Table("class", *splits, "all", box=None)
    shown = {name: counts for name, counts in audit.counts.items() if any(counts.values())}
    for name, counts in shown.items():
        table.add_row(name, *(str(counts[split]) for split in splits), str(sum(counts.values())))
    totals = [sum(counts[split] for counts in shown.values()) for split in splits]
    table.add_row("all", *map(str, totals), str(sum(totals)), style="bold")
    console.print(table)


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give 0 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit data",
        description="Check a data set, write a look-alike of one, prepare or shard a mammography set, look at its "
        "captions.",
    )
    verbs = parser.add_subparsers(dest="verb", required=True)
    for name, (_, line) in DELEGATED.items():
        verbs.add_parser(name, help=line, add_help=False)
    check = verbs.add_parser(
        "check",
        help="count classes and splits, read every image, list what is wrong or odd",
        description="Count classes and splits, read every table and image, and list what is wrong or odd. "
        "Exit code 0 where training would be sound, 2 where it would not.",
    )
    check.add_argument(
        "--target",
        help="derm7pt: what is to be trained on, diagnosis (default), diagnosis_20 or one of the seven criteria; "
        "faults in the columns of other targets are quirks",
    )
    check.add_argument("--split", choices=["AP", "A"], help="mmc_amd: by patient (AP, default) or by eye (A)")
    check.add_argument(
        "--allow_missing",
        "--allow-missing",
        action="store_true",
        default=None,
        help="mrnet: an exam may lack a plane, as with the data's setting of that name; its gap is a quirk then",
    )
    check.add_argument(
        "--read",
        type=_count,
        help="mammography sets: how many images to read whole, evenly spaced; the others are only looked for. A "
        "prepared set has read them all (default: the audit's own)",
    )
    check.add_argument("--most", type=_count, default=20, help="findings of a kind to list, 0 for all (default: 20)")
    synth = verbs.add_parser(
        "synth",
        help="write a look-alike with the same files and columns",
        description="Write a look-alike of a data set: the official layout, drawn pictures, and classes that need "
        "every modality. The same options give the same bytes.",
    )
    synth.add_argument(
        "--cases", type=int, default=400, help="how many, 10 or more (default: 400); of embed and vindr_mammo exams"
    )
    synth.add_argument("--seed", type=int, default=0, help="zero or more (default: 0)")
    synth.add_argument(
        "--img_size", type=int, help="width of the pictures, pixels; of mammograms the height (default: the set's own)"
    )
    for verb in (check, synth):
        verb.add_argument("set", choices=list(SETS), help="which data set")
        verb.add_argument("--root", type=Path, required=True, help="folder of the data set")
    return parser
