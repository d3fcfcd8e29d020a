"""Tenancy: the ownership of tables by tenants, and proofs of tenant isolation."""
