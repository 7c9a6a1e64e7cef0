"""Changes that any kind of file can undergo: of bytes, of lines of text, of trees of plain values."""

from random import Random
from typing import Any

NUMBERS = (
    0,
    1,
    2,
    3,
    7,
    8,
    15,
    16,
    17,
    127,
    128,
    255,
    256,
    4095,
    32767,
    32768,
    65535,
    65536,
    2**31 - 1,
    2**31,
    2**32 - 1,
)
"""At which counts, sizes and depths go over."""
WORDS = (
    "",
    " ",
    "0",
    "-1",
    "1.0",
    "1e999",
    "nan",
    "inf",
    "-0.0",
    "1_000",
    "٣",
    "true",
    "null",
    "~",
    "None",
    "0x10",
    "1e-400",
    "9" * 30,
    "a" * 300,
    "ä",
    "\ufeff",
    "\u202e",
    "\x1b[31m",
    "\x00",
    "'",
    '"',
    '""',
    "\\",
    "../../x",
    "/etc/passwd",
    "..",
    "[",
    "{",
    "a: b",
    "- a",
    "&a",
    "*a",
    "!!python/object:os.system",
    "%s",
    "{}",
    "L",
    "R",
    "B",
    "CC",
    "1;2",
    "a,b",
    "\t",
)
"""Texts that readers stumble over: numbers that are none, quotes, paths, tags, control characters."""


def change_bytes(data: bytes, random: Random, *, start: int = 0) -> bytes:
    """Flip, set, insert, remove, repeat or cut some bytes.

    Args:
        data: What is changed.
        random: Decides.
        start: Nothing before it is touched.
    """
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 4, 16))):
        if len(changed) <= start:
            break
        at = random.randrange(start, len(changed))
        match random.randrange(8):
            case 0:
                changed[at] ^= 1 << random.randrange(8)
            case 1:
                changed[at] = random.choice((0, 1, 0x7F, 0x80, 0xFE, 0xFF))
            case 2:
                changed[at] = random.randrange(256)
            case 3:
                changed[at:at] = random.randbytes(random.randint(1, 8))
            case 4:
                del changed[at : at + random.randint(1, 16)]
            case 5:
                changed[at:at] = changed[at : at + random.randint(1, 64)]
            case 6:
                width = random.choice((2, 4))
                number = random.choice(NUMBERS) % 256**width
                changed[at : at + width] = number.to_bytes(width, random.choice(("little", "big")))
            case 7 if random.random() < 0.3:
                del changed[at:]
    return bytes(changed)


def change_lines(text: str, random: Random) -> str:
    """Repeat, remove, swap, indent or change some lines."""
    lines = text.split("\n")
    for _ in range(random.choice((1, 1, 2, 4))):
        at = random.randrange(len(lines))
        match random.randrange(6):
            case 0:
                lines.insert(at, random.choice(lines))
            case 1 if len(lines) > 1:
                del lines[at]
            case 2:
                other = random.randrange(len(lines))
                lines[at], lines[other] = lines[other], lines[at]
            case 3:
                lines[at] = " " * random.randint(1, 4) + lines[at]
            case 4:
                before, colon, _ = lines[at].partition(":")
                lines[at] = f"{before}{colon} {random.choice(WORDS)}"
            case _:
                place = random.randint(0, len(lines[at]))
                lines[at] = lines[at][:place] + random.choice(WORDS) + lines[at][place:]
    return "\n".join(lines)


def plain_value(random: Random, depth: int = 0) -> Any:
    """A value of a kind that YAML and JSON hold."""
    kinds = 7 if depth > 2 else 10
    match random.randrange(kinds):
        case 0:
            return None
        case 1:
            return random.random() < 0.5
        case 2:
            return random.choice(NUMBERS) * random.choice((1, -1))
        case 3:
            return random.choice((0.0, -1.5, 1e308, float("inf"), float("nan"), 1e-320))
        case 4 | 5 | 6:
            return random.choice(WORDS)
        case 7:
            return []
        case 8:
            return [plain_value(random, depth + 1) for _ in range(random.randint(1, 3))]
        case _:
            return {random.choice(WORDS): plain_value(random, depth + 1) for _ in range(random.randint(0, 3))}


def change_tree(tree: Any, random: Random) -> Any:
    """A copy of a tree of plain values with one place in it changed: replaced, removed, renamed, repeated, added to."""
    if isinstance(tree, dict) and tree:
        key = random.choice(list(tree))
        match random.randrange(10):
            case 0:
                return {name: value for name, value in tree.items() if name != key}
            case 1:
                renamed = random.choice((*tree, *WORDS, *NUMBERS[:4], f"{key}x"))
                return {renamed if name == key else name: value for name, value in tree.items()}
            case 2:
                return {**tree, random.choice((*WORDS, *NUMBERS[:4])): plain_value(random)}
            case 3:
                return {**tree, key: random.choice(list(tree.values()))}
        return {**tree, key: change_tree(tree[key], random)}
    if isinstance(tree, list) and tree:
        at = random.randrange(len(tree))
        match random.randrange(6):
            case 0:
                return tree[:at] + tree[at + 1 :]
            case 1:
                return [*tree, random.choice(tree)]
            case 2:
                return [*tree, plain_value(random)]
        return [*tree[:at], change_tree(tree[at], random), *tree[at + 1 :]]
    if isinstance(tree, (int, float)) and not isinstance(tree, bool) and random.random() < 0.3:
        return tree + random.choice((1, -1, 0.5))
    if isinstance(tree, str) and tree and random.random() < 0.3:
        at = random.randrange(len(tree))
        return tree[:at] + random.choice(("", "x", ".", "\x00", "é")) + tree[at + 1 :]
    return plain_value(random)
