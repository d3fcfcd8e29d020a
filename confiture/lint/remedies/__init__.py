"""The replacement SQL that rules suggest."""
