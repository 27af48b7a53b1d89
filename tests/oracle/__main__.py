"""`python -m oracle`: see the package."""

import sys

from oracle.many import main

if __name__ == "__main__":
    sys.exit(main())
