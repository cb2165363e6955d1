"""Trained models: put to use, calibrated anew, and brought into 8-bit integers."""
