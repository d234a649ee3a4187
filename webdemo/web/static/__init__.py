"""Static files by RFC 9110: StaticFiles, its file cache, folder listings and precompressed siblings."""
