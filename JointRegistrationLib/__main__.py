"""``python -m JointRegistrationLib``: the same as ``joint-registration``."""

from .cli import main

main()
