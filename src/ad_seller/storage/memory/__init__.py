"""Entries in this process's memory."""
