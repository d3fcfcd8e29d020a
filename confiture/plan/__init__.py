"""Planning migrations: rendering, ordering, segments, and checksums."""
