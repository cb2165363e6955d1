"""Tables in formats other than FITS, written in blocks of rows."""
