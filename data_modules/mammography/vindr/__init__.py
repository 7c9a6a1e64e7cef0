"""VinDr-Mammo, full-field digital mammograms from Hanoi."""
