"""The atomic tools, each a few lines on top of snapshot and commit. No seller's word."""
