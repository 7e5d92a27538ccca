"""The course's helper package: the kernels of a modern AI system, written to be read.

Each domain is a subpackage (`vectors`, `transformer`, `models`, …); `figures` draws, `lesson` is what a notebook shows.
"""

__version__ = "0.1.0"
