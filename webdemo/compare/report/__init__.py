"""Reports of a comparison: for the terminal, as a page, and for CI."""
