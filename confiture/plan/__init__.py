"""From migrations to a plan: rendering, ordering, segments, checksums."""
