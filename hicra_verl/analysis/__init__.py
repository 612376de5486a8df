"""After a run: its curves recomputed and drawn, its report, its errors, its forks."""
