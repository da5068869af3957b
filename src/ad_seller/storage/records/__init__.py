"""What may be stored, and its text: keys, values, times to live, patterns. Pure: no asyncio, no I/O."""
