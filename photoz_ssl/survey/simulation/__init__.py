"""A simulated survey: real spectra, new redshifts, rendered as SDSS would see them."""
