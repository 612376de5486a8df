"""The ``verl.plugins`` entry point: verl imports this module on ``import verl``, in the driver and in every worker.

verl never calls it and reports its failures only at DEBUG, so it stays small: it asks for hooks to run after the verl
modules they concern have been imported, and imports nothing of them itself. ``hicra doctor`` says what came of it.
"""

from hicra_verl import verl_patches

verl_patches.install()
