"""Rehearses plans: what is seen, what follows from it, what is remembered."""
