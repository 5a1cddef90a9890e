"""``python -m JointRegistrationLib.worker``: serves registrations on standard input and output."""

import sys

from .priority import take_niceness
from .server import serve

if __name__ == "__main__":
    take_niceness()  # before there are threads, which inherit it
    sys.exit(serve())
