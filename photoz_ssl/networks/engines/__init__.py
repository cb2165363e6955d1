"""What runs a trained network: PyTorch or OpenVINO, in floats or in 8-bit integers."""
