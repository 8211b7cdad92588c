"""nbgrader's configuration for students: where the exchange is, and that their labs are in ~/labs."""

import os
from pathlib import Path

c = get_config()  # noqa: F821

c.CourseDirectory.course_id = "generative-models"
c.Exchange.root = os.environ.get("COURSE_EXCHANGE", "/srv/exchange")
c.Exchange.assignment_dir = str(Path.home() / "labs")
