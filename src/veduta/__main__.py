"""``python -m veduta`` is ``veduta``."""

import sys

from veduta.cli import main

sys.exit(main())
