"""Speed and memory of the kernels beside the libraries they are measured against: `make bench`."""
