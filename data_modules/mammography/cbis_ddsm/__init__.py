"""CBIS-DDSM, digitised films with masses and calcifications."""
