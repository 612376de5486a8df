"""``python -m hicra_verl.cli``, where the ``hicra`` command is not on the path."""

from hicra_verl.cli import main

main()
