"""Tables of the sky as FITS files: what their columns say, read and written block by block."""
