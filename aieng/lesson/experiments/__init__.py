"""The measured experiments of each section: a learner's function in, numbers, a sentence and a figure out."""
