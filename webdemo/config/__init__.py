"""From settings to the Plan that a supervisor runs: declared in `settings`, read in `sources`, planned in
`planning` with the addresses of `binds`, and read again at a reload in `reloading`."""
