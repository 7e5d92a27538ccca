"""Grades the course's exercises: for a learner alone, for the answer banks, and (through nbgrader) for a class."""
