"""Trained models: put to use, trained further, calibrated anew, and in 8-bit integers."""
