"""HICRA (Hierarchy-Aware Credit Assignment) for verl.

Importing this package is light: neither torch nor verl nor transformers. The modules, in the order data flows:

``grams``       strategic grams, and the matcher that finds them in token ids
``advantage``   the formula
``metrics``     what is measured on planning and execution tokens
``training``    what happens at a training step
``verl_seam``   every touch of verl
"""

from hicra_verl.version import __version__

__all__ = ["__version__"]
