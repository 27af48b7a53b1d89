"""`python -m fuzz`: see the package."""

import sys

from fuzz.drive import main

if __name__ == "__main__":
    sys.exit(main())
