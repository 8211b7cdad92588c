"""The course on JupyterHub: one machine, its Linux users, one environment for all of them. See site/jupyterhub.md.

COURSE=/srv/course jupyterhub -f /srv/course/site/jupyterhub/jupyterhub_config.py
"""

import os
import sys
from pathlib import Path

COURSE = Path(os.environ.get("COURSE", "/srv/course"))  # the students' part of the checkout; everybody may read it
ENVIRONMENT = Path(sys.executable).parent  # the environment with the course in it, and with JupyterHub

c = get_config()  # noqa: F821

# the hub: where it listens (put a web server with HTTPS before it), and who may come in: the machine's own users
c.JupyterHub.bind_url = os.environ.get("HUB_URL", "http://127.0.0.1:8000")
c.JupyterHub.authenticator_class = "pam"
c.PAMAuthenticator.open_sessions = False
c.Authenticator.allow_all = True  # whoever has an account; else c.Authenticator.allowed_users = {"anna", "ben"}

# everybody's server, as the user: close the home to others, copy each lab that is not there yet (what is there is never
# overwritten), start
START = f'chmod go-rwx "$HOME"; cp -rn "{COURSE}/labs" "$HOME"; exec "{ENVIRONMENT}/jupyterhub-singleuser" "$@"'
c.Spawner.cmd = ["sh", "-c", START, "sh"]
c.Spawner.notebook_dir = "~"
c.Spawner.default_url = "/lab/tree/labs/lab1_odes_sdes/lab1_odes_sdes.ipynb"
c.Spawner.environment = {
    "OMP_NUM_THREADS": "1",  # many users, few cores
    "JUPYTER_CONFIG_PATH": str(COURSE / "site" / "jupyterhub"),  # holds nbgrader_config.py
}
c.Spawner.start_timeout = 120
