"""Which answer a response states."""
