"""Files → rows, one module a format."""
