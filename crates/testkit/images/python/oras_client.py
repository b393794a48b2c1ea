"""oras's Python library, behind a command line:

    push LAYOUT REFERENCE | pull REFERENCE LAYOUT

The image of the layout is called `image`. The credential is $CREDENTIAL, `user:password`; every error, in the
library's own words, goes to stderr.
"""

import os
import sys

import oras.layout
import oras.provider
from oras import decorator

# It tries again what was refused, five times, and sleeps a minute in all.
decorator.time.sleep = lambda _: None


def run(command, *args):
    layout, reference = args if command == "push" else reversed(args)
    registry = oras.provider.Registry(insecure=True)
    user, _, password = os.environ["CREDENTIAL"].partition(":")
    registry.auth.set_basic_auth(user, password)
    if command == "push":
        oras.layout.NewLayout(layout).push_to_registry(registry, reference, tag="image")
    elif command == "pull":
        oras.layout.NewLayoutFromRegistry(layout, registry, reference, tag="image")
    else:
        raise ValueError(f"no command {command}")


if __name__ == "__main__":
    try:
        run(*sys.argv[1:])
    except Exception as error:
        sys.exit(f"{type(error).__name__}: {error}")
