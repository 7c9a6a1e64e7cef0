"""Mammography: EMBED, RSNA-Mammo, VinDr-Mammo, CBIS-DDSM; prepared once, then read as pairs, captions and cases."""
