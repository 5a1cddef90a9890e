"""``python -m JointRegistrationLib.worker``: serves registrations on standard input and output."""

import sys

from .server import serve

if __name__ == "__main__":
    sys.exit(serve())
