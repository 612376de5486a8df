"""Strategic grams out of a corpus of solutions: counting, clustering, judging (paper, section on Strategic Grams)."""
