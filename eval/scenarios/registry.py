"""The scenarios there are."""

from collections.abc import Sequence
from typing import Final

from eval.scenarios.alert_storm import AlertStorm
from eval.scenarios.config_map_missing import ConfigMapMissing
from eval.scenarios.gray_node import GrayNode
from eval.scenarios.healed_before import HealedBefore
from eval.scenarios.healthy import Healthy
from eval.scenarios.memory_limit import MemoryLimit
from eval.scenarios.misleading_rollout import MisleadingRollout
from eval.scenarios.no_such_node import NoSuchNode
from eval.scenarios.quota_exceeded import QuotaExceeded
from eval.scenarios.readiness_port import ReadinessPort
from eval.scenarios.scenario import Scenario
from eval.scenarios.slow_dependency import SlowDependency
from eval.scenarios.wrong_credentials import WrongCredentials
from eval.scenarios.wrong_image import WrongImage
from eval.scenarios.wrong_port import WrongPort
from eval.scenarios.wrong_selector import WrongSelector

SCENARIOS: Final[Sequence[type[Scenario]]] = (
    WrongImage,
    MemoryLimit,
    WrongSelector,
    WrongPort,
    QuotaExceeded,
    ConfigMapMissing,
    ReadinessPort,
    WrongCredentials,
    NoSuchNode,
    SlowDependency,
    HealedBefore,
    Healthy,
    MisleadingRollout,
    GrayNode,
    AlertStorm,
)
