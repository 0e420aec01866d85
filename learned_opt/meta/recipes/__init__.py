"""Recipes by name: what the shipped weights were trained with."""

from learned_opt.meta.recipes import general, optimizers
from learned_opt.meta.recipes.recipe import RECIPES, Recipe, recipe, register_recipes

__all__ = ["RECIPES", "Recipe", "general", "optimizers", "recipe", "register_recipes"]
