"""Static files by RFC 9110: StaticFiles, what it keeps in memory, listings and precompressed siblings."""
