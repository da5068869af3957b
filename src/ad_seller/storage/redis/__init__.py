"""Entries in Redis: one server, a Sentinel group, a cluster."""
