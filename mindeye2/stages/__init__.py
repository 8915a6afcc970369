"""One module per noun: read inputs, call rooms, write outputs."""
