"""Planning of migrations: rendering, ordering, segments, checksums."""
