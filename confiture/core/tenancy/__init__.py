"""Tenancy: table ownership by tenants, and proofs of tenant isolation."""
