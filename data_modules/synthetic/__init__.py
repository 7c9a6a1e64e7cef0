"""Look-alike trees of the data sets: official layout, drawn pictures, a signal that can be learned."""
