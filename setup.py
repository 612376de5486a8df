"""Metadata lives in pyproject.toml; this adds the recipes to what is installed, where ``hicra recipes`` finds them."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithRecipes(build_py):
    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib) / "hicra_verl" / "_recipes"
            shutil.copytree("recipes", target, dirs_exist_ok=True)


setup(cmdclass={"build_py": BuildWithRecipes})
