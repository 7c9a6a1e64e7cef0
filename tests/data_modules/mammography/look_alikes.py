"""Look-alikes of the four sets with their audits, drawn once and copied where a test changes them."""

import functools
import shutil
import tempfile
from pathlib import Path

from data_modules.mammography.cbis_ddsm.audit import audit_cbis_ddsm
from data_modules.mammography.embed.audit import audit_embed
from data_modules.mammography.rsna.audit import audit_rsna_mammo
from data_modules.mammography.vindr.audit import audit_vindr_mammo
from data_modules.synthetic import cbis_ddsm, embed, rsna_mammo, vindr_mammo

AUDITS = {
    "embed": audit_embed,
    "rsna_mammo": audit_rsna_mammo,
    "vindr_mammo": audit_vindr_mammo,
    "cbis_ddsm": audit_cbis_ddsm,
}
WRITERS = {"embed": embed, "rsna_mammo": rsna_mammo, "vindr_mammo": vindr_mammo, "cbis_ddsm": cbis_ddsm}
CASES = 12


@functools.cache
def drawn(name):
    """A folder that no test writes to; it lives as long as the process."""
    folder = tempfile.TemporaryDirectory(prefix="look-alike-")
    WRITERS[name].write(Path(folder.name, name), cases=CASES, seed=0, img_size=64)
    return folder, Path(folder.name, name)


def pristine(name):
    return drawn(name)[1]


def copy_of(name, tmp_path):
    return Path(shutil.copytree(pristine(name), tmp_path / name))
