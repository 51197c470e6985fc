"""Recipes: a strict schema (`schema.py`) and YAML with composition and overrides (`load.py`)."""

from r1zero.config.algorithm import Algorithm, Correction
from r1zero.config.load import dump, find_recipe, load
from r1zero.config.schema import (
    Corpus,
    Critic,
    Data,
    Evaluation,
    Logging,
    Model,
    NewModel,
    Optimization,
    PretrainRecipe,
    Recipe,
    Rewards,
    Rollout,
    Run,
    Source,
)

__all__ = [
    "Algorithm",
    "Corpus",
    "Correction",
    "Critic",
    "Data",
    "Evaluation",
    "Logging",
    "Model",
    "NewModel",
    "Optimization",
    "PretrainRecipe",
    "Recipe",
    "Rewards",
    "Rollout",
    "Run",
    "Source",
    "dump",
    "find_recipe",
    "load",
]
