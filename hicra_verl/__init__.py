"""HICRA (Hierarchy-Aware Credit Assignment) for verl.

Importing this package is light: neither torch nor verl nor transformers. The modules, in the order data flows:

``mining``      gram sets out of a corpus, judged by models and people
``grams``       strategic grams, and the matcher that finds them in token ids and texts
``advantage``   the formula
``metrics``     what is measured on planning and execution tokens
``training``    what happens at a training step
``verl_patches``   every touch of verl
``grading``     right or wrong; ``reward`` makes it verl's
``data``        training and benchmark data in verl's format
``evaluation``  the paper's protocol and tables
``analysis``    a finished run's figures, its page, the causes of its failures
``cpu``         verl on a machine without a GPU
"""

from hicra_verl.version import __version__

__all__ = ["__version__"]
