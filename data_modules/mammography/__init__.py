"""Mammography: EMBED, RSNA-Mammo, VinDr-Mammo, CBIS-DDSM; prepared once, then read as pairs, captions and cases."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from data_modules.mammography.cbis_ddsm.datamodule import CBISDDSMDataModule
    from data_modules.mammography.embed.datamodule import EMBEDDataModule
    from data_modules.mammography.rsna.datamodule import RSNAMammoDataModule
    from data_modules.mammography.vindr.datamodule import VinDrMammoDataModule

__all__ = ["CBISDDSMDataModule", "EMBEDDataModule", "RSNAMammoDataModule", "VinDrMammoDataModule"]

PACKAGES = {
    "CBISDDSMDataModule": "cbis_ddsm",
    "EMBEDDataModule": "embed",
    "RSNAMammoDataModule": "rsna",
    "VinDrMammoDataModule": "vindr",
}


def __getattr__(name: str) -> type:
    """A DataModule, imported when it is first asked for: torch and Lightning take seconds.

    Processes that prepare images or feed a DataLoader import modules of this package without them, and without polars.
    """
    if name in PACKAGES:
        module = importlib.import_module(f"{__name__}.{PACKAGES[name]}.datamodule")
        return getattr(module, name)  # type: ignore[no-any-return]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
