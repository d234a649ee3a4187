"""What a comparison found: for the terminal, as a page, for CI."""
