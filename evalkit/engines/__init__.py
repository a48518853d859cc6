"""The engines. Each is imported when it is named, so that none is needed by those who use another."""

from evalkit.engines.base import Engine, option
from evalkit.engines.prompts import Prompt
from evalkit.engines.registry import default_engine, engine_class, engine_names, open_engine

__all__ = ["Engine", "Prompt", "default_engine", "engine_class", "engine_names", "open_engine", "option"]
