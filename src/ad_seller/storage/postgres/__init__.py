"""Entries in PostgreSQL."""
