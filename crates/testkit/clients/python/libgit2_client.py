"""libgit2, by pygit2, behind the command line that all client drivers have:

    clone URL DIR | fetch DIR | push DIR REFSPEC

The credential is $TOKEN: the password of Basic, or a bearer where $SCHEME says so. What the server says on
the side-band, and every error in the library's own words, goes to stderr.
"""

import os
import sys

import pygit2


class Callbacks(pygit2.RemoteCallbacks):
    def __init__(self):
        super().__init__()
        self.asked = False
        self.rejected = []

    def credentials(self, url, username_from_url, allowed_types):
        # libgit2 asks again for as long as it is refused.
        if self.asked or os.environ["SCHEME"] == "bearer":
            raise pygit2.GitError("the credential was not accepted")
        self.asked = True
        return pygit2.UserPass("oidc", os.environ["TOKEN"])

    def custom_headers(self):
        if os.environ["SCHEME"] == "bearer":
            return [f"Authorization: Bearer {os.environ['TOKEN']}"]
        return None

    def sideband_progress(self, string):
        print(string, end="", file=sys.stderr, flush=True)

    def push_update_reference(self, refname, message):
        if message is not None:
            self.rejected.append(f"rejected: {refname}: {message}")


def run(command, *args):
    callbacks = Callbacks()
    if command == "clone":
        url, folder = args
        pygit2.clone_repository(url, folder, callbacks=callbacks)
        return []
    remote = pygit2.Repository(args[0]).remotes["origin"]
    if command == "fetch":
        remote.fetch(callbacks=callbacks)
    elif command == "push":
        remote.push([args[1]], callbacks=callbacks)
    else:
        raise ValueError(f"no such command: {command}")
    return callbacks.rejected


try:
    failures = run(*sys.argv[1:])
except Exception as error:
    failures = [f"{type(error).__name__}: {error}"]
print(*failures, sep="\n", file=sys.stderr)
sys.exit(1 if failures else 0)
