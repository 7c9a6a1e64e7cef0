"""From what is learned: data sets as Lightning DataModules. Knows nothing of medlit."""

import os

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # otherwise importing albumentations asks the network for news
