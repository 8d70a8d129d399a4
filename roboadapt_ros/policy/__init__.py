"""From features to actions: heads, normalisers, chunks and their ensembling."""
