"""How long an app may use what it knows of a template or a static file without looking at the file again."""

reuse_seconds = 1.0  # a `stat` costs as much as a small page; 0 with live reload
