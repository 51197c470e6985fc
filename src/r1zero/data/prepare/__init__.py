"""`r1zero prepare`: rows to token files, through worker processes, complete or absent."""
