from feature_repo.world.shop import World

__all__ = ["World"]
