"""The networks, and the files that hold them."""
