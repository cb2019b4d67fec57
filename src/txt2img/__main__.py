"""``python -m txt2img`` is the command ``txt2img``."""

import sys

from txt2img.command_line import main

sys.exit(main())
