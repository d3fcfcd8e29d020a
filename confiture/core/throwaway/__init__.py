"""Throwaway databases: created for one command, and dropped when it ends."""
