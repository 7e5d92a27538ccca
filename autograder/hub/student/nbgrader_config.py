"""nbgrader's configuration in a student's server: where the exchange is, and who they are."""

import os
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets provides it

c.CourseDirectory.course_id = "ai-engineering"
c.CourseDirectory.student_id = os.environ["JUPYTERHUB_USER"]
c.Exchange.root = os.environ["AIENG_EXCHANGE"]
c.Exchange.assignment_dir = str(Path.home())
c.Exchange.cache = str(Path.home() / ".nbgrader_cache")
