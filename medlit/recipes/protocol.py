"""What the ``protocol`` of a recipe asks for: which figures of which stages stand in one table."""

from collections.abc import Collection
from dataclasses import dataclass

from medlit.recipes.reader import Reader, nearest

KEYS = ("set", "target", "case", "rows")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One way of answering a question; with several variants of its stage, a row for each.

    Args:
        method: What it is called in the table.
        stages: That are tested, a row each.
        head: Whose figures they are; None: the model's answer.
        labels: How many labels it saw, in words; None: the share of ``data.init_args.label_fraction``.
    """

    method: str
    stages: tuple[str, ...]
    head: str | None
    labels: str | None


@dataclass(frozen=True, kw_only=True)
class Block:
    """The rows that answer one question about one set.

    Args:
        set_name: Of the data.
        target: What is to be told.
        case: What a case is (image).
        lines: Ways of telling it.
    """

    set_name: str
    target: str
    case: str
    lines: tuple[Line, ...]

    @property
    def title(self) -> str:
        """For people."""
        return f"{self.set_name}, {self.target}"


def read_protocol(reader: Reader, value: object, tested: Collection[str]) -> tuple[Block, ...]:
    """The blocks of a protocol.

    Args:
        reader: Of the recipe.
        value: Of the key ``protocol``; None: there is none.
        tested: Names of the stages that are tested; a name without its variant stands for all of them.

    Raises:
        ConfigurationError: Naming file, line and key of what cannot be.
    """
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        reader.refuse(("protocol",), "expected a list of blocks, each with set, target and rows")
    blocks = []
    for number, entry in enumerate(value):
        path = ("protocol", str(number))
        content = reader.check_keys(path, entry, KEYS, needed=("set", "target", "rows"))
        if not isinstance(content["rows"], dict):
            reader.refuse((*path, "rows"), "expected rows by method, such as zero-shot: {stage: zero_shot}")
        lines = [
            _line(reader, (*path, "rows", str(method)), str(method), line, tested)
            for method, line in content["rows"].items()
        ]
        words = {"case": "case", **content}
        set_name, target, case = (reader.word((*path, key), words[key]) for key in ("set", "target", "case"))
        blocks.append(Block(set_name=set_name, target=target, case=case, lines=tuple(lines)))
    titles = [block.title for block in blocks]
    for number, title in enumerate(titles):
        if title in titles[:number]:
            reader.refuse(("protocol", str(number)), f"{title} is there twice; give its rows in one block")
    return tuple(blocks)


def _line(reader: Reader, path: tuple[str, ...], method: str, value: object, tested: Collection[str]) -> Line:
    content = reader.check_keys(path, value, ("stage", "head", "labels"), needed=("stage",))
    wanted = content["stage"]
    stages = tuple(name for name in tested if wanted in (name, name.partition("/")[0]))
    if not stages:
        known = dict.fromkeys([*tested, *(name.partition("/")[0] for name in tested)])
        reader.refuse((*path, "stage"), f"no stage {wanted!r} that is tested; {nearest(wanted, known, what='stages')}")
    return Line(
        method=method,
        stages=stages,
        head=reader.optional_word((*path, "head"), content.get("head")),
        labels=reader.optional_word((*path, "labels"), content.get("labels")),
    )
