"""giftless as the LFS server of the tests, with the one API that it lacks: locks, in memory.

Usage: lfs_server.py PORT FOLDER; user and password are in LFS_USER and LFS_PASSWORD.
"""

import itertools
import os
import sys
import warnings

from flask import Flask, jsonify, request
from giftless.app import init_app
from giftless.auth.identity import DefaultIdentity, Permission
from werkzeug.serving import WSGIRequestHandler, make_server

port, folder = int(sys.argv[1]), sys.argv[2]
user, password = os.environ["LFS_USER"], os.environ["LFS_PASSWORD"]


def authenticate(asked):
    """The one user may do everything; nobody else is known."""
    given = asked.authorization
    if given is None or given.type != "basic":
        return None
    if (given.username, given.password) != (user, password):
        return None
    identity = DefaultIdentity(name=user, id=user)
    identity.allow(permissions=Permission.all())
    return identity


def serve_locks(app):
    """https://github.com/git-lfs/git-lfs/blob/main/docs/api/locking.md"""
    locks, ids = {}, itertools.count(1)
    base = "/<path:repository>/info/lfs/locks"

    def answer(status, **content):
        response = jsonify(content)
        response.status_code = status
        response.content_type = "application/vnd.git-lfs+json"
        return response

    def of(repository):
        return [lock for (where, _), lock in sorted(locks.items()) if where == repository]

    @app.before_request
    def known():
        if "/info/lfs/locks" in request.path and authenticate(request) is None:
            return answer(401, message="who are you?")

    @app.get(base)
    def list_locks(repository):
        wanted = [lock for lock in of(repository) if request.args.get("path") in (None, lock["path"])]
        return answer(200, locks=[lock for lock in wanted if request.args.get("id") in (None, lock["id"])])

    @app.post(base)
    def create(repository):
        path = request.get_json(force=True)["path"]
        for lock in of(repository):
            if lock["path"] == path:
                return answer(409, lock=lock, message="already created lock")
        lock = {"id": str(next(ids)), "path": path, "locked_at": "2024-05-01T12:00:00Z", "owner": {"name": user}}
        locks[repository, lock["id"]] = lock
        return answer(201, lock=lock)

    @app.post(f"{base}/verify")
    def verify(repository):
        return answer(200, ours=of(repository), theirs=[])

    @app.post(f"{base}/<lock>/unlock")
    def unlock(repository, lock):
        found = locks.pop((repository, lock), None)
        return answer(200, lock=found) if found else answer(404, message="no such lock")


app = Flask(__name__)
storage = {"options": {"storage_options": {"path": folder}}}
configuration = {
    "LEGACY_ENDPOINTS": False,
    "AUTH_PROVIDERS": [{"factory": "__main__:provider"}],
    "TRANSFER_ADAPTERS": {"basic": storage},
    "PRE_AUTHORIZED_ACTION_PROVIDER": {"options": {"private_key": os.urandom(32).hex()}},
}


def provider():
    return authenticate


warnings.simplefilter("ignore")
init_app(app, configuration)
serve_locks(app)
WSGIRequestHandler.protocol_version = "HTTP/1.1"
make_server("127.0.0.1", port, app, threaded=True).serve_forever()
