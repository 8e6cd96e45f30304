"""Any replicated thing that is described by commands: one for each word, and what they must print."""
