"""The statistics of redshift PDFs, in numpy."""
