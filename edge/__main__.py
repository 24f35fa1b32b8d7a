"""Run `python -m edge` as `janus`."""

import sys

from edge.cli import main

sys.exit(main())
