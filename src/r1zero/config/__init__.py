"""Recipes: a strict schema, a file for each section, and YAML with composition and overrides (`load.py`)."""

from r1zero.config.algorithm import Algorithm, Correction
from r1zero.config.curation import CurateRecipe
from r1zero.config.data import Data, Evaluation, Source, TrainingSource
from r1zero.config.load import dump, find_recipe, load, load_training
from r1zero.config.model import Lora, Model, Quantization
from r1zero.config.objective import Objective
from r1zero.config.optimization import Critic, Optimization, PretrainTrainer, Trainer
from r1zero.config.prepare import PrepareRecipe
from r1zero.config.pretrain import Corpus, NewModel, PretrainRecipe
from r1zero.config.rewards import Judge, ProcessReward, RewardModel, Rewards
from r1zero.config.rl import Recipe
from r1zero.config.rollout import Remote, Rollout
from r1zero.config.run import Logging, Run
from r1zero.config.tuning import Rows, TuningData, TuningRecipe

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
    "Lora",
    "Model",
    "NewModel",
    "Objective",
    "Optimization",
    "PrepareRecipe",
    "PretrainRecipe",
    "PretrainTrainer",
    "ProcessReward",
    "Quantization",
    "Recipe",
    "Remote",
    "RewardModel",
    "Rewards",
    "Rollout",
    "Rows",
    "Run",
    "Source",
    "Trainer",
    "TrainingSource",
    "TuningData",
    "TuningRecipe",
    "dump",
    "find_recipe",
    "load",
    "load_training",
]
