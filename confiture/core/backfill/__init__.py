"""Batched backfills: keyset batches, each committed together with its key position."""
