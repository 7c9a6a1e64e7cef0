"""EMBED (Emory Breast Imaging Dataset, open data): its tables become one sample table."""
