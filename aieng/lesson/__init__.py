"""What a notebook shows: the cover card, checks, hints, quiz, experiments and claims."""

from aieng.lesson.checking import check
from aieng.lesson.claims import claim
from aieng.lesson.cover import start
from aieng.lesson.finding import Finding, experiment
from aieng.lesson.hinting import hint
from aieng.lesson.quizzing import check_quiz, quiz
from aieng.lesson.session import use

__all__ = ["Finding", "check", "check_quiz", "claim", "experiment", "hint", "quiz", "start", "use"]
