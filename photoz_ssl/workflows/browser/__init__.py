"""The page of ``photoz-ssl browse`` and the server behind it."""
