"""dulwich, behind the command line that all client drivers have:

    clone URL DIR | fetch DIR | push DIR REFSPEC

The credential is $TOKEN: the password of Basic, or a bearer where $SCHEME says so. What the server says on
the side-band, and every error in the library's own words, goes to stderr.
"""

import os
import sys
import tempfile

from dulwich import porcelain


class Unbuffered:
    """stderr, in which the server's messages are seen while it still works."""

    def write(self, data):
        sys.stderr.buffer.write(data)
        sys.stderr.buffer.flush()


def credential(config):
    if os.environ["SCHEME"] == "basic":
        return {"username": "oidc", "password": os.environ["TOKEN"]}
    config.write(f"[http]\n\textraHeader = Authorization: Bearer {os.environ['TOKEN']}\n")
    config.flush()
    os.environ["GIT_CONFIG_GLOBAL"] = config.name
    return {}


def run(command, *args):
    with tempfile.NamedTemporaryFile("w") as config:
        options = {"errstream": Unbuffered(), **credential(config)}
        if command == "clone":
            url, folder = args
            porcelain.clone(url, folder, **options)
        elif command == "fetch":
            porcelain.fetch(args[0], "origin", **options)
        elif command == "push":
            folder, refspec = args
            result = porcelain.push(folder, "origin", [refspec], **options)
            statuses = (result.ref_status or {}).items()
            return [f"rejected: {ref.decode()}: {reason}" for ref, reason in statuses if reason is not None]
        else:
            raise ValueError(f"no such command: {command}")
        return []


try:
    failures = run(*sys.argv[1:])
except Exception as error:
    failures = [f"{type(error).__name__}: {error}"]
print(*failures, sep="\n", file=sys.stderr)
sys.exit(1 if failures else 0)
