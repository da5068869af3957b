"""A package: the servers of these tests end with the last one of them that a worker runs."""
