"""MaMA: an image tower and a text tower in one space (arXiv 2409.18119)."""
