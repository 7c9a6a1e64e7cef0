"""Small valid sets: the look-alikes' tables without their images, which no reader of tables looks at."""

import shutil
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

from data_modules.synthetic import cbis_ddsm as cbis_writer
from data_modules.synthetic import embed as embed_writer
from data_modules.synthetic import mmc_amd as mmc_writer
from data_modules.synthetic import rsna_mammo as rsna_writer
from data_modules.synthetic import vindr_mammo as vindr_writer

ROWS = 24
"""Of a table, at most, so that thousands are read in a minute."""


def rsna_mammo(root: Path) -> None:
    """RSNA-Mammo's table."""
    _tables_alone(rsna_writer.write, root)


def vindr_mammo(root: Path) -> None:
    """VinDr-Mammo's two tables."""
    _tables_alone(vindr_writer.write, root)


def cbis_ddsm(root: Path) -> None:
    """CBIS-DDSM's four tables."""
    _tables_alone(cbis_writer.write, root)


def embed(root: Path) -> None:
    """EMBED's tables and legend."""
    _tables_alone(embed_writer.write, root)


def mmc_amd(root: Path) -> None:
    """MMC-AMD's lists, and its folders of images."""
    mmc_writer.write(root, cases=12, seed=0, img_size=24)


def table() -> str:
    """A table of one's own, with whatever may be in one."""
    random = Random(0)
    lines = ["case,patient,photo,scan,class,a,b,age,sex,split,breast"]
    for number in range(10):
        label = random.choice(("no", "yes", "0", "1.0", "maybe", ""))
        split = random.choice(("train", "valid", "test", ""))
        age, sex = random.choice(("41", "70.5", "")), random.choice(("f", "m", ""))
        lines.append(
            f'{number},p{number // 2},"a/{number}.png; b.png",s.png,{label},1,0,{age},{sex},{split},b{number // 2}'
        )
    return "\n".join(lines) + "\n"


def _tables_alone(write: Callable[..., None], root: Path) -> None:
    with TemporaryDirectory() as temporary:
        made = Path(temporary) / "set"
        write(made, cases=10, seed=0, img_size=48)
        for file in sorted(made.rglob("*.csv")):
            target = root / file.relative_to(made)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
