"""The seller's words: kinds of record, their helpers, indexes and state machines."""
