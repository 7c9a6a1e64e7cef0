"""``medlit data captions``: what the captions of a mammography set look like, before anything is trained on them."""

import argparse
import importlib
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from medlit.commands.prepare import TABLES

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

    from data_modules.mammography.captions import Captioner, MetadataTable
    from data_modules.mammography.captions.statistics import Caption
    from data_modules.mammography.sets import MammographySet
    from data_modules.mammography.tokens import CaptionTokenizer

DONE, NO_CAPTION = 0, 2


def main(args: list[str]) -> int:
    """Print examples, the rate of duplicates, and token lengths.

    Args:
        args: Words after ``data captions``.

    Returns:
        0; 2 where no image has a caption.

    Raises:
        DataError: If the tables, the templates or the tokenizer cannot be read, or a setting makes no sense.
    """
    options = _parser().parse_args(args)
    import numpy as np

    from data_modules.mammography.captions import Captioner, MetadataTable, has_caption, missing_for_caption
    from data_modules.mammography.tokens import load_tokenizer

    captioner = Captioner(
        templates=options.templates,
        style=options.style,
        mask_probability=options.mask_probability,
        side_text=options.side_text,
        one_sided=not options.both_sides,
    )
    tokenizer = load_tokenizer(options.tokenizer)
    tables = importlib.import_module(TABLES[options.set])
    data_set: MammographySet = tables.SET
    frame = _of_split(tables.read_samples(options.root).frame, options.split, seed=options.split_seed)
    captioned = frame.filter(has_caption(frame))
    print(f"{data_set.title}: {len(frame):,} images, of which {len(captioned):,} have a caption")
    for reason, count in missing_for_caption(frame).items():
        print(f"  {reason}: {count:,} left out")
    if captioned.is_empty():
        print("An image without BI-RADS, density, procedure or reason has no caption: there is nothing to print.")
        return NO_CAPTION
    table = MetadataTable.from_frame(captioned)
    generator = np.random.default_rng([options.seed, zlib.crc32(b"examples")])
    chosen = generator.permutation(len(table))[: options.n].tolist()
    masked, whole = _captions(captioner, table, seed=options.seed), _captions(captioner, table, seed=None)
    for index in chosen:
        _print_example(captioned["image"][index], masked[index], whole[index] if options.unmasked else None)
    _print_figures(options, tokenizer, masked, whole, generator=generator)
    return DONE


def _of_split(frame: "pl.DataFrame", split: str | None, *, seed: int) -> "pl.DataFrame":
    """The rows of a split: the official one where the set has one, else drawn by patient."""
    if split is None:
        return frame
    if frame["split"].is_null().all():
        from data_modules.mammography.split import split_patients

        frame = split_patients(frame, label="birads", seed=seed)
    return frame.filter(frame["split"] == split)


def _captions(captioner: "Captioner", table: "MetadataTable", *, seed: int | None) -> "list[Caption]":
    """Every image's caption; without a seed nothing is masked."""
    import numpy as np

    generator = None if seed is None else np.random.default_rng([seed, zlib.crc32(b"caption")])
    return [tuple(captioner.sentences(table.row(index), generator)) for index in range(len(table))]


def _print_example(image: str, masked: "Caption", whole: "Caption | None") -> None:
    print(f"\n{image}")
    for sentence in masked:
        print(f"  {sentence}")
    if whole is not None:
        print("  with nothing masked:")
        for sentence in whole:
            print(f"    {sentence}")


def _print_figures(
    options: argparse.Namespace,
    tokenizer: "CaptionTokenizer",
    masked: "Sequence[Caption]",
    whole: "Sequence[Caption]",
    *,
    generator: "np.random.Generator",
) -> None:
    import numpy as np

    from data_modules.mammography.captions.statistics import duplicate_rate, duplicate_rate_in_batches, token_lengths

    batch = min(options.batch_size, len(masked))
    print(f"\nOf all {len(masked):,} captions, in style {options.style}, tokens of {options.tokenizer}:")
    for told, captions in ((f"masked with {options.mask_probability:g}", masked), ("not masked", whole)):
        alike = duplicate_rate_in_batches(captions, batch=batch, generator=generator)
        tokens, unknown = token_lengths(tokenizer, captions)
        print(f"{told}")
        print(f"  duplicates  {duplicate_rate(captions):.1%} of all; {alike:.1%} within random batches of {batch}")
        print(f"  tokens      {tokens.min()} at least, {np.median(tokens):g} median, {tokens.max()} at most")
        print(f"  cut         {int((tokens > options.max_tokens).sum()):,}, longer than {options.max_tokens} tokens")
        print(f"  unknown     {unknown:.2%} of the tokens")


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no count; give 0 or more")
    return int(text)


def _size(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("give 1 or more")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="medlit data captions",
        description="Print captions of a mammography set as training draws them, how many are alike, how long they are "
        "in tokens, and how many images have none. Reads the tables alone.",
    )
    parser.add_argument("set", choices=list(TABLES), help="which data set")
    parser.add_argument("--root", type=Path, required=True, help="folder of the set, prepared or as downloaded")
    parser.add_argument("--n", type=_count, default=20, help="examples to print (default: 20)")
    parser.add_argument("--unmasked", action="store_true", help="print each example with nothing masked, too")
    parser.add_argument(
        "--style", choices=["structured", "natural", "simple"], default="structured", help="(default: structured)"
    )
    parser.add_argument("--split", choices=["train", "val", "test"], help="(default: all images)")
    parser.add_argument("--tokenizer", default="words", help="words (default), a folder, or a name on the hub")
    parser.add_argument("--templates", type=Path, help="a template file of your own")
    for name, kind, default, told in (
        ("seed", _count, 0, "of the masks and the choice of examples"),
        ("split_seed", _count, 0, "of the split, where the set has no official one"),
        ("mask_probability", float, 0.8, "of each masked field"),
        ("max_tokens", _size, 144, "longer captions are cut"),
        ("batch_size", _size, 144, "of the batches that duplicates are counted in"),
    ):
        spellings = dict.fromkeys([f"--{name}", f"--{name.replace('_', '-')}"])
        parser.add_argument(*spellings, type=kind, default=default, help=f"{told} (default: {default})")
    parser.add_argument("--side_text", "--side-text", choices=["consistent", "paper"], default="consistent")
    parser.add_argument(
        "--both_sides",
        "--both-sides",
        action="store_true",
        help="images are neither turned to one side nor flipped, so that left and right are true",
    )
    return parser
