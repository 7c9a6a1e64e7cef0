"""Views and their modifiers: from coded entries to the abbreviations that tables and radiologists use.

Source: DICOM PS3.16, CID 4014 "View for Mammography" and CID 4015 "View Modifier for Mammography"; the SRT codes that
older files hold beside the SNOMED CT codes that replaced them.
"""

VIEW_CODES = {
    "399162004": "CC",
    "R-10242": "CC",
    "399368009": "MLO",
    "R-10226": "MLO",
    "399260004": "ML",
    "R-10224": "ML",
    "399352003": "LM",
    "R-10228": "LM",
    "399099002": "LMO",
    "R-10230": "LMO",
    "399196006": "FB",
    "R-10244": "FB",
    "399188001": "SIO",
    "R-102D0": "SIO",
    "441555000": "ISO",
    "R-40AAA": "ISO",
    "399192008": "XCCL",
    "R-1024A": "XCCL",
    "399101009": "XCCM",
    "R-1024B": "XCCM",
    "127457009": "SPECIMEN",
    "G-8310": "SPECIMEN",
}
"""Code value of ViewCodeSequence to the view's abbreviation."""

SPOT_CODES = frozenset({"399055006", "R-102D7"})
MAGNIFICATION_CODES = frozenset({"399163009", "R-102D6"})
IMPLANT_DISPLACED_CODES = frozenset({"399209000", "R-102D5"})

VIEW_WORDS = {
    "CRANIO-CAUDAL": "CC",
    "CRANIOCAUDAL": "CC",
    "MEDIO-LATERAL OBLIQUE": "MLO",
    "MEDIOLATERAL OBLIQUE": "MLO",
    "MEDIO-LATERAL": "ML",
    "MEDIOLATERAL": "ML",
    "LATERO-MEDIAL": "LM",
    "LATEROMEDIAL": "LM",
    "LATERO-MEDIAL OBLIQUE": "LMO",
    "LATEROMEDIAL OBLIQUE": "LMO",
}
"""Words that stand in ViewPosition in place of the abbreviation."""
