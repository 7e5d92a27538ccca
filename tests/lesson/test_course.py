"""The plan in `aieng.lesson.course` and what is there agree."""

from __future__ import annotations

import importlib

from aieng.lesson import checking, course


def test_every_exercise_has_hints_properties_and_a_helper():
    for section in course.SECTIONS:
        for exercise in section.exercises:
            assert len(checking.hints_of(exercise.id)) == 3
            assert len(checking.properties_of(exercise.id)) >= 4, exercise.id
            for path in exercise.helper.values():
                module, attribute = path.split(":")
                assert callable(getattr(importlib.import_module(module), attribute))
        if section.ready:
            assert section.points == 100


