"""Dataset folders as people meet them: the Parquet mirror, the card, and the whole folder."""
