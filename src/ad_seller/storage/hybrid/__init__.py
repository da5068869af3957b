"""Two backends as one."""
