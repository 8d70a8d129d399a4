"""Heads, the decode path, ensembling, and the choice of policy by what the data says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from roboadapt_ros.adapters.layout import HeadLayout
from roboadapt_ros.contract import ActionSpace, Reference, Rotation
from roboadapt_ros.control.kinematics import PandaKinematics
from roboadapt_ros.dataflow import (
    ActionChunk,
    EE_POSE_NAMES,
    Features,
    Identity,
    LatencyLedger,
    RobotState,
)
from roboadapt_ros.errors import ConfigError, RefusedError, SpecError
from roboadapt_ros.learning.head import TorchHead
from roboadapt_ros.policy.decode import decode_actions, encode_actions, require_supported
from roboadapt_ros.policy.ensemble import TemporalEnsembler
from roboadapt_ros.policy.head import NumpyHead
from roboadapt_ros.policy.policy import TaskPolicies
from roboadapt_ros.sim2real.bridge import Bridge, BridgeConfig
from tiny import contract, make_backbone, make_task
import torch

SECOND = 1_000_000_000


def state() -> RobotState:
    return RobotState(
        stamp_ns=SECOND,
        q=np.linspace(-1, 1, 7),
        dq=np.zeros(7),
        ee_position=np.array([0.5, 0.1, 0.3]),
        ee_quat_xyzw=np.array([1.0, 0.0, 0.0, 0.0]),
        ee_commanded=np.array([0.51, 0.1, 0.29]),
        gripper_width_m=0.08,
    )


def features(package, values: np.ndarray, generation: int = 1) -> Features:
    return Features(
        stamp_ns=SECOND,
        identity=Identity(
            task=package.task,
            package_digest=package.digest,
            generation=generation,
            frame_stamps_ns=(SECOND, SECOND),
        ),
        ledger=LatencyLedger(exposure=SECOND),
        values=values.astype(np.float32),
    )


@pytest.fixture
def package(tmp_path):
    return make_task(tmp_path, 'pick', make_backbone(tmp_path))


@pytest.fixture
def policies(package) -> TaskPolicies:
    policies = TaskPolicies()
    policies.add(package)
    return policies


def chunk(rows, generation: int = 1, start_ns: int = SECOND) -> ActionChunk:
    return ActionChunk(
        stamp_ns=start_ns,
        identity=Identity(
            task='pick', package_digest='d', generation=generation, frame_stamps_ns=(start_ns,)
        ),
        ledger=LatencyLedger(),
        space=ActionSpace.JOINT_POSITION,
        names=('a',),
        period_s=0.1,
        start_ns=start_ns,
        actions=np.array(rows, dtype=float)[:, None],
    )


def test_the_numpy_head_equals_the_torch_head() -> None:
    layout = HeadLayout(
        feature_size=24, proprio_size=4, hidden=(16, 8), chunk_length=3, action_size=4
    )
    torch.manual_seed(0)
    head = TorchHead(layout).eval()
    served = NumpyHead(layout, {n: t.numpy() for n, t in head.state_dict().items()})
    x, p = torch.randn(24) * 3 + 1, torch.randn(4)
    with torch.inference_mode():
        expected = head(x[None], p[None]).reshape(3, 4).numpy()
    np.testing.assert_allclose(served(x.numpy(), p.numpy()), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('reference', list(Reference))
@pytest.mark.parametrize('space', [ActionSpace.EE_DELTA, ActionSpace.EE_POSE])
def test_decode_undoes_encode_for_end_effector_actions(space, reference) -> None:
    rules = contract(action_space=space, reference=reference)
    rng = np.random.default_rng(0)
    targets = np.column_stack(
        [rng.normal(size=(4, 3)), np.tile([1.0, 0.0, 0.0, 0.0], (4, 1)), rng.random(4) * 0.08]
    )
    actions = encode_actions(rules, targets, state())
    assert actions.shape == (4, rules.action_size)
    np.testing.assert_allclose(decode_actions(rules, actions, state()), targets, atol=1e-12)


def test_displacements_start_from_the_contracts_reference() -> None:
    still = np.array([[0.0, 0.0, 0.0, 0.05]])
    measured = contract(reference=Reference.MEASURED)
    np.testing.assert_array_equal(
        decode_actions(measured, still, state())[0, :3], state().ee_position
    )
    np.testing.assert_array_equal(
        decode_actions(contract(), still, state())[0, :3], state().ee_commanded
    )


def test_joint_actions_pass_through() -> None:
    rules = contract(action_space=ActionSpace.JOINT_POSITION)
    targets = np.random.default_rng(0).normal(size=(4, 8))
    np.testing.assert_array_equal(
        decode_actions(rules, encode_actions(rules, targets, state()), state()), targets
    )


@pytest.mark.parametrize(
    'change',
    [
        {'action_space': ActionSpace.JOINT_VELOCITY},
        {'rotation': Rotation.ROTVEC, 'fixed_quat_xyzw': None},
    ],
)
def test_a_contract_without_a_decoder_is_refused_at_load(change) -> None:
    with pytest.raises(ConfigError, match=r'contract\.'):
        require_supported(contract(**change))


def test_a_chunk_answers_with_the_identity_of_its_features(policies, package) -> None:
    seen = features(package, np.random.default_rng(0).normal(size=64))
    made = policies.act(seen, state(), lambda: SECOND + 5)
    assert made.identity == seen.identity
    assert made.names == EE_POSE_NAMES
    assert made.start_ns == SECOND
    assert made.ledger.head == SECOND + 5
    assert np.isfinite(made.actions).all()


def test_an_unknown_task_and_another_version_are_refused(policies, package) -> None:
    seen = features(package, np.zeros(64))
    for change, cause in (({'task': 'pour'}, 'unknown_task'), ({'package_digest': 'x'}, 'digest')):
        wrong = replace(seen, identity=replace(seen.identity, **change))
        with pytest.raises(RefusedError, match='pick') as caught:
            policies.act(wrong, state(), lambda: SECOND)
        assert caught.value.cause == cause


def test_two_versions_of_a_task_are_served_and_the_one_not_used_leaves(policies, package) -> None:
    """One may be active while the next rides along."""
    second, third = (replace(package, digest=digest) for digest in ('second', 'third'))
    policies.add(second)
    for version in (second, package):
        policies.act(features(version, np.zeros(64)), state(), lambda: SECOND)
    policies.add(third)
    for version in (third, package):
        policies.act(features(version, np.zeros(64)), state(), lambda: SECOND)
    with pytest.raises(RefusedError, match='second'):
        policies.act(features(second, np.zeros(64)), state(), lambda: SECOND)
    assert policies.has('pick', package.digest) and not policies.has('pick', 'second')


def test_wrong_or_non_finite_features_are_refused(policies, package) -> None:
    with pytest.raises(SpecError, match=r'features.*\(63,\)'):
        policies.act(features(package, np.zeros(63)), state(), lambda: SECOND)
    with pytest.raises(SpecError, match='nan'):
        policies.act(features(package, np.full(64, np.nan)), state(), lambda: SECOND)


def test_the_bridge_takes_a_chunk_of_joints(tmp_path) -> None:
    package = make_task(tmp_path, 'pick', make_backbone(tmp_path))
    rules = replace(package.contract, action_space=ActionSpace.JOINT_POSITION)
    head = replace(package.manifest.head, action_size=8)
    normaliser = replace(
        package.manifest.normaliser, action_mean=(0.0,) * 32, action_std=(0.01,) * 32
    )
    tensors = dict(package.tensors)
    tensors['head.out.weight'] = np.zeros((32, 16), np.float32)
    tensors['head.out.bias'] = np.zeros(32, np.float32)
    manifest = replace(package.manifest, contract=rules, head=head, normaliser=normaliser)
    package = replace(package, manifest=manifest, tensors=tensors)
    policies = TaskPolicies()
    policies.add(package)
    made = policies.act(features(package, np.zeros(64)), state(), lambda: SECOND)
    names = tuple(f'fr3_joint{i}' for i in range(1, 8))
    bridge = Bridge(BridgeConfig(robot='fr3', joint_names=names), rules, PandaKinematics())
    assert bridge.map(made, state()).names == (*names, 'gripper_width')


@pytest.mark.parametrize(
    ('field', 'value'),
    [('rate_hz', 1e-300), ('rate_hz', float('nan')), ('max_observation_age_s', 1e9)],
)
def test_a_contract_keeps_to_times_that_can_be_counted(field: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f'contract.{field}'):
        contract(**{field: value})


def test_ensembling_weighs_newer_chunks_more() -> None:
    """Two chunks a period apart, decay 0.5: (new + e^-0.5 old) / (1 + e^-0.5)."""
    ensembler = TemporalEnsembler(decay=0.5)
    ensembler.add(chunk([0.0, 1.0, 2.0]))
    made = ensembler.add(chunk([3.0, 3.0, 3.0], start_ns=SECOND + SECOND // 10))
    weight = np.exp(-0.5)
    expected = [(3 + weight * 1) / (1 + weight), (3 + weight * 2) / (1 + weight), 3.0]
    np.testing.assert_allclose(made.actions[:, 0], expected)


def test_chunks_of_two_generations_are_never_averaged() -> None:
    ensembler = TemporalEnsembler()
    ensembler.add(chunk([0.0, 0.0]))
    later = chunk([3.0, 3.0], generation=2, start_ns=SECOND + SECOND // 10)
    np.testing.assert_array_equal(ensembler.add(later).actions, later.actions)


def test_a_chunk_is_sampled_linearly_and_held_outside_its_rows() -> None:
    made = chunk([1.0, 2.0])
    for after_s, value in ((0.0, 1.0), (0.1, 1.0), (0.15, 1.5), (0.2, 2.0), (9.0, 2.0)):
        assert made.sample(SECOND + round(after_s * SECOND))[0] == pytest.approx(value)
