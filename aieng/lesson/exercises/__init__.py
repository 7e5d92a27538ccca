"""The visible properties and hints of each exercise, one module an exercise: `ex_1_3` for exercise 1.3."""
