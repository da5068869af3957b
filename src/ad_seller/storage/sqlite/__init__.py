"""Entries in one SQLite file."""
