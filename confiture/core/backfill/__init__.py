"""Batched backfills: keyset batches, each committed together with how far it came."""
