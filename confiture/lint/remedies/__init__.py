"""Replacement SQL that rules suggest."""
