"""nbgrader's configuration for this course; found when nbgrader runs in this folder or with JUPYTER_CONFIG_PATH naming it."""

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from nbconvert.preprocessors import CSSHTMLHeaderPreprocessor  # noqa: E402
from nbgrader.preprocessors import GetGrades  # noqa: E402

from autograder.feedback import Explain  # noqa: E402

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets provides it

c.CourseDirectory.course_id = "ai-engineering"
c.CourseDirectory.root = str(ROOT)
c.CourseDirectory.source_directory = "solutions"
c.CourseDirectory.release_directory = "notebooks"
c.CourseDirectory.submitted_directory = "autograder/classroom/submitted"
c.CourseDirectory.autograded_directory = "autograder/classroom/autograded"
c.CourseDirectory.feedback_directory = "autograder/classroom/feedback"
c.CourseDirectory.solution_directory = "autograder/classroom/solution"
# Only notebooks are released: anything else beside a source notebook could hold answers.
c.CourseDirectory.ignore = [".ipynb_checkpoints", "*.pyc", "__pycache__", "*.py", "*.md", "*.db"]

classroom = ROOT / "autograder" / "classroom"
classroom.mkdir(exist_ok=True)
# AIENG_GRADEBOOK names another database, such as postgresql+psycopg://user@host/gradebook
c.CourseDirectory.db_url = os.environ.get("AIENG_GRADEBOOK") or f"sqlite:///{classroom / 'gradebook.db'}"
if "AIENG_EXCHANGE" in os.environ:  # where a JupyterHub has put it
    c.Exchange.root = os.environ["AIENG_EXCHANGE"]
c.ExportApp.plugin_class = "nbgrader.plugins.export.CsvExportPlugin"

# A cell may take its time on a slow laptop, but never for ever.
c.Execute.timeout = 300
# Feedback never shows what the hidden tests look at (jupyter/nbgrader#917, #1363).
c.GenerateFeedback.preprocessors = [GetGrades, Explain, CSSHTMLHeaderPreprocessor]
