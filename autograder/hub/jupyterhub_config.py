"""JupyterHub for one machine. `python -m autograder.hub` sets the variables that are read here.

A real deployment changes the authenticator, the spawner and the exchange's place; see autograder/README.md.
"""

import os
import socket
from pathlib import Path

c = get_config()  # type: ignore[name-defined]  # noqa: F821 - traitlets provides it

course = Path(os.environ["AIENG_COURSE"])
state = course / "autograder" / "classroom" / "hub"
instructors, students = {"instructor"}, {"ada", "bob"}


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


c.JupyterHub.bind_url = f"http://127.0.0.1:{os.environ['AIENG_HUB_PORT']}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{free_port()}"
c.ConfigurableHTTPProxy.command = [os.environ["AIENG_PROXY"]]
c.ConfigurableHTTPProxy.pid_file = str(state / "proxy.pid")
c.JupyterHub.db_url = f"sqlite:///{state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(state / "cookie_secret")
c.JupyterHub.cleanup_servers = True

c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = os.environ["AIENG_HUB_PASSWORD"]
c.Authenticator.allowed_users = instructors | students
c.Authenticator.admin_users = instructors

c.JupyterHub.spawner_class = "simple"
c.SimpleLocalProcessSpawner.home_dir_template = str(state / "homes" / "{username}")
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = c.Spawner.start_timeout = 120


def settle(spawner) -> None:
    """The instructor works in the course folder; a student in a home with nothing of the course but what nbgrader fetches."""
    name = spawner.user.name
    home = state / "homes" / name
    spawner.environment = {"AIENG_EXCHANGE": os.environ["AIENG_EXCHANGE"], "AIENG_PROGRESS_DIR": str(home / "progress")}
    spawner.args = ["--allow-root"] if os.geteuid() == 0 else []  # one user runs everything here
    if name in instructors:
        spawner.notebook_dir = str(course)
        spawner.environment["JUPYTER_CONFIG_PATH"] = str(course / "autograder")
        return
    spawner.notebook_dir = str(home)
    spawner.environment["JUPYTER_CONFIG_PATH"] = str(Path(__file__).parent / "student")
    spawner.args += ["--ServerApp.jpserver_extensions={'nbgrader.server_extensions.formgrader': False}"]


c.Spawner.pre_spawn_hook = settle

if token := os.environ.get("AIENG_HUB_TOKEN"):  # for scripts that act for everybody, such as the tests
    c.JupyterHub.services = [{"name": "script", "api_token": token}]
    c.JupyterHub.load_roles = [{"name": "script", "services": ["script"], "scopes": ["admin:users", "admin:servers", "access:servers"]}]
