"""What an engine is to the rest of the package: for our engines and for authors of others."""
