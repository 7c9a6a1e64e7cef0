"""Cases that know what the tables say of them beside their label."""

import numpy as np
from numpy.typing import NDArray

from data_modules.errors import DataSettingsError
from data_modules.mammography.captions import MetadataTable
from data_modules.mammography.cases import CaseTable


class CaptionedCases(CaseTable):
    """Images with what their captions say, row by row.

    Args:
        cases: One image each.
        metadata: Of the same rows.

    Raises:
        DataSettingsError: If the two differ in length.
    """

    def __init__(self, cases: CaseTable, metadata: MetadataTable) -> None:
        if len(cases) != len(metadata):
            raise DataSettingsError(f"{len(cases)} images, but metadata of {len(metadata)}; give a row for each")
        super().__init__(
            root=cases.root,
            source=cases.source,
            case_ids=cases.ids,
            groups=cases.groups,
            labels=cases.label_codes,
            files=cases.files,
            units=cases.units,
            strata=cases.strata,
        )
        self.metadata = metadata

    def take(self, rows: NDArray[np.int64]) -> "CaptionedCases":
        """Some of the images, in the order of ``rows``."""
        metadata = MetadataTable(np.ascontiguousarray(self.metadata.codes[rows]), self.metadata.values)
        return CaptionedCases(super().take(rows), metadata)
