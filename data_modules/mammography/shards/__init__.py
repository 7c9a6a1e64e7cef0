"""Prepared images in few large files, as LitData reads them: the very PNGs, bundled; tables lie beside them."""
