"""The scenarios there are."""

from collections.abc import Sequence
from typing import Final

from eval.scenarios.abrupt_shutdown import AbruptShutdown
from eval.scenarios.alert_storm import AlertStorm
from eval.scenarios.anti_affinity import AntiAffinity
from eval.scenarios.autoscaler_blind import AutoscalerBlind
from eval.scenarios.budget_blocks_drain import BudgetBlocksDrain
from eval.scenarios.claim_unbound import ClaimUnbound
from eval.scenarios.config_map_missing import ConfigMapMissing
from eval.scenarios.connections_exhausted import ConnectionsExhausted
from eval.scenarios.cordoned_node import CordonedNode
from eval.scenarios.cpu_limit_too_low import CpuLimitTooLow
from eval.scenarios.dns_misconfigured import DnsMisconfigured
from eval.scenarios.dns_policy import WrongDnsPolicy
from eval.scenarios.expired_certificate import ExpiredCertificate
from eval.scenarios.good_deploy import GoodDeploy
from eval.scenarios.gray_node import GrayNode
from eval.scenarios.healed_before import HealedBefore
from eval.scenarios.healthy import Healthy
from eval.scenarios.init_container_hangs import InitContainerHangs
from eval.scenarios.kubelet_frozen import KubeletFrozen
from eval.scenarios.leaking_consumer import LeakingConsumer
from eval.scenarios.limit_range import LimitRange
from eval.scenarios.liveness_path import LivenessPath
from eval.scenarios.load_spike import LoadSpike
from eval.scenarios.memory_limit import MemoryLimit
from eval.scenarios.memory_pressure import MemoryPressure
from eval.scenarios.misleading_rollout import MisleadingRollout
from eval.scenarios.missing_claim import MissingClaim
from eval.scenarios.missing_service_account import MissingServiceAccount
from eval.scenarios.network_policy import NetworkPolicyBlocks
from eval.scenarios.no_such_node import NoSuchNode
from eval.scenarios.packet_loss import PacketLoss
from eval.scenarios.pods_killed import PodsKilled
from eval.scenarios.pull_secret_missing import PullSecretMissing
from eval.scenarios.quota_exceeded import QuotaExceeded
from eval.scenarios.quota_lowered import QuotaLowered
from eval.scenarios.readiness_port import ReadinessPort
from eval.scenarios.red_herring import RedHerring
from eval.scenarios.requests_too_large import RequestsTooLarge
from eval.scenarios.retry_storm import RetryStorm
from eval.scenarios.rollout_stuck import RolloutStuck
from eval.scenarios.scaled_to_zero import ScaledToZero
from eval.scenarios.scenario import Scenario
from eval.scenarios.secret_missing import SecretMissing
from eval.scenarios.sidecar_port import SidecarPort
from eval.scenarios.slow_dependency import SlowDependency
from eval.scenarios.taint import Taint
from eval.scenarios.two_faults import TwoFaults
from eval.scenarios.webhook_failing import WebhookFailing
from eval.scenarios.wrong_address import WrongAddress
from eval.scenarios.wrong_command import WrongCommand
from eval.scenarios.wrong_credentials import WrongCredentials
from eval.scenarios.wrong_image import WrongImage
from eval.scenarios.wrong_port import WrongPort
from eval.scenarios.wrong_selector import WrongSelector
from eval.scenarios.wrong_service_port import WrongServicePort

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
    SecretMissing,
    RequestsTooLarge,
    CpuLimitTooLow,
    WrongServicePort,
    WrongAddress,
    LivenessPath,
    WrongCommand,
    InitContainerHangs,
    ScaledToZero,
    MissingServiceAccount,
    MissingClaim,
    AntiAffinity,
    LoadSpike,
    RedHerring,
    TwoFaults,
    GoodDeploy,
    Taint,
    LimitRange,
    ClaimUnbound,
    PullSecretMissing,
    WrongDnsPolicy,
    AutoscalerBlind,
    CordonedNode,
    PodsKilled,
    NetworkPolicyBlocks,
    PacketLoss,
    WebhookFailing,
    DnsMisconfigured,
    BudgetBlocksDrain,
    KubeletFrozen,
    MemoryPressure,
    AbruptShutdown,
    ConnectionsExhausted,
    LeakingConsumer,
    RetryStorm,
    RolloutStuck,
    SidecarPort,
    ExpiredCertificate,
    QuotaLowered,
)
