"""PostgreSQL migrations for CQRS schemas with many tenants."""

__version__ = "0.1.0"
