"""Recipes: a strict schema (`schema.py`) and YAML with composition and overrides (`load.py`)."""

from r1zero.config.algorithm import Algorithm, Correction
from r1zero.config.curation import CurateRecipe
from r1zero.config.load import dump, find_recipe, load
from r1zero.config.prepare import PrepareRecipe
from r1zero.config.rewards import Judge, ProcessReward, RewardModel, Rewards
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
    Rollout,
    Run,
    Source,
    TrainingSource,
)

__all__ = [
    "Algorithm",
    "Corpus",
    "Correction",
    "Critic",
    "CurateRecipe",
    "Data",
    "Evaluation",
    "Judge",
    "Logging",
    "Model",
    "NewModel",
    "Optimization",
    "PrepareRecipe",
    "PretrainRecipe",
    "ProcessReward",
    "Recipe",
    "RewardModel",
    "Rewards",
    "Rollout",
    "Run",
    "Source",
    "TrainingSource",
    "dump",
    "find_recipe",
    "load",
]
