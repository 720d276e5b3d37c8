"""Bytes to core types and back: one module per format, every file read as hostile and written atomically."""
