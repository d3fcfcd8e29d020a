"""Builds a catalog from DDL."""
