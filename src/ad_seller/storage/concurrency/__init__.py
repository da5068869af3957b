"""Tasks, locks and pauses, for every wing above."""
