"""From what is learned: data sets as Lightning DataModules. Knows nothing of medlit."""
