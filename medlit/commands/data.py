"""``medlit data``: check a data set, or write a look-alike of one."""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from rich.console import Console

    from data_modules.audit import Audit, Severity
    from data_modules.skin.labels import Target

SOUND, UNSOUND = 0, 2
HEADINGS: "dict[Severity, tuple[str, str]]" = {
    "note": ("Good to know", "dim"),
    "quirk": ("Quirks, dealt with", "yellow"),
    "fault": ("Faults, to be mended before training", "red"),
}
Item = TypeVar("Item")


def main(args: list[str]) -> int:
    """Carry out ``check`` or ``synth``.

    Args:
        args: Words after ``data``.

    Returns:
        0; for ``check`` of a set that training would stumble over, 2.

    Raises:
        DataError: If there is no set to check, or the folder to write to holds something else.
    """
    options = _parser().parse_args(args)
    if options.verb == "synth":
        return _synth(options.root, cases=options.cases, seed=options.seed, img_size=options.img_size)
    return _check(options.root, target=options.target, most=options.most)


def _check(root: Path, *, target: "Target", most: int) -> int:
    from data_modules.skin.audit import audit_derm7pt

    audit = audit_derm7pt(root, target=target, track=_track)
    _print(audit, most=most)
    return SOUND if audit.sound else UNSOUND


def _synth(root: Path, *, cases: int, seed: int, img_size: int) -> int:
    from data_modules.synthetic import derm7pt

    derm7pt.write(root, cases=cases, seed=seed, img_size=img_size)
    print(f"{root}: a look-alike Derm7pt of {cases} cases, seed {seed}. Look through it: {_check_command(root)}")
    return SOUND


def _check_command(root: Path) -> str:
    return f"medlit data check derm7pt --root {root}"


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
    parser = argparse.ArgumentParser(prog="medlit data", description="Check a data set, or write a look-alike of one.")
    verbs = parser.add_subparsers(dest="verb", required=True)
    check = verbs.add_parser(
        "check",
        help="count classes and splits, read every image, list what is wrong or odd",
        description="Count classes and splits, read every table and image, and list what is wrong or odd. "
        "Exit code 0 where training would be sound, 2 where it would not.",
    )
    check.add_argument(
        "--target",
        default="diagnosis",
        help="what is to be trained on: diagnosis (default), diagnosis_20 or one of the seven criteria; faults in the "
        "columns of other targets are quirks",
    )
    check.add_argument("--most", type=_count, default=20, help="findings of a kind to list, 0 for all (default: 20)")
    synth = verbs.add_parser(
        "synth",
        help="write a look-alike with the same files and columns",
        description="Write a look-alike of a data set: the official layout, drawn pictures, and classes that need "
        "every modality. The same options give the same bytes.",
    )
    synth.add_argument("--cases", type=int, default=400, help="how many, 10 or more (default: 400)")
    synth.add_argument("--seed", type=int, default=0, help="zero or more (default: 0)")
    synth.add_argument("--img_size", type=int, default=96, help="width of the pictures, pixels (default: 96)")
    for verb in (check, synth):
        verb.add_argument("set", choices=["derm7pt"], help="which data set")
        verb.add_argument("--root", type=Path, required=True, help="folder of the data set")
    return parser
