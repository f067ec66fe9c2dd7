"""What pyproject.toml cannot say: the folder configs/ is the package hornet_jax.configs."""

from setuptools import find_packages, setup

setup(
  packages=[*find_packages(include=["hornet_jax*"]), "hornet_jax.configs"],
  package_dir={"hornet_jax.configs": "configs"},
)
