"""Official trees as arrays."""
