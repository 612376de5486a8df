"""Strategic grams: the set, its file, and the matcher that finds them in token ids."""

from hicra_verl.grams.gramset import FUNCTIONS, Gram, GramSet, GramSetError, load_grams

__all__ = ["FUNCTIONS", "Gram", "GramSet", "GramSetError", "load_grams"]
