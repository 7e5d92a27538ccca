"""A classroom on one machine: JupyterHub on loopback with an instructor and two students, nbgrader's exchange and formgrader."""
