"""A simulated shop that answers actions and knows its truth; first read ``catalogue.py``."""

from feature_repo.world.shop import World

__all__ = ["World"]
