"""RSNA-Mammo, the RSNA Screening Mammography Breast Cancer Detection challenge."""
