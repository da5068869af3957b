"""What runs the calls of an engine: the template of our backends, batches, partitions, sweeping."""
