"""`python -m convbert_np.cli` is `convbert-np`."""

import sys

from convbert_np.cli import main

if __name__ == "__main__":
    sys.exit(main())
