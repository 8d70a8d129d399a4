"""Services and actions of others: what can not be called has failed, and nothing is raised."""

from types import SimpleNamespace

import pytest
from rclpy.task import Future
from roboadapt_interfaces.action import Evaluate
from roboadapt_ros.control.limits import robot_limits
from roboadapt_ros.control.recovery import Outcome, Recovery, RecoveryConfig, RecoveryState, Step
from roboadapt_ros.nodes.errands import Errands
from roboadapt_ros.nodes.robot_actions import RobotActions
from roboadapt_ros.ros.calls import ActionCall, Clients, Condition, Sequence, trigger_outcome
from roboadapt_ros.ros.node_parameters import GovernorParameters
from roboadapt_ros.ros.robot_settings import RecoverySettings
from std_srvs.srv import Trigger

BAD = 'sim rig/deactivate'
WHY = 'must not contain characters other than alphanumerics'


@pytest.fixture
def node(make_node):
    """Return a node of this test's."""
    return make_node('caller')


def _actions(node, **names):
    return RobotActions(
        node,
        GovernorParameters(
            robot='panda',
            joint_names=robot_limits('panda').joint_names,
            gripper_joint_names=('left', 'right'),
            recovery=RecoverySettings(**names),
        ),
    )


def _failed(outcome, *words):
    assert outcome is not None
    assert not outcome.is_good
    for word in words:
        assert word in outcome.detail
    assert '\n' not in outcome.detail


def test_a_name_that_rclpy_refuses_is_a_failed_call(node):
    clients = Clients(node)
    for pending in (
        clients.call(Trigger, BAD, Trigger.Request(), trigger_outcome),
        clients.send(Evaluate, BAD, Evaluate.Goal()),
    ):
        _failed(pending.poll(0), BAD, WHY)
        assert WHY in pending.cancel()
    clients.destroy()


def test_a_server_that_is_not_there_yet_is_waited_for(node):
    clients = Clients(node)
    for pending in (
        clients.call(Trigger, 'nobody', Trigger.Request(), trigger_outcome),
        clients.send(Evaluate, 'nobody', Evaluate.Goal()),
    ):
        assert pending.poll(0) is None
        assert 'nobody is not there' in pending.cancel()
    clients.destroy()


def test_a_client_that_is_gone_is_a_failed_call(node):
    clients = Clients(node)
    call = clients.call(Trigger, 'nobody', Trigger.Request(), trigger_outcome)
    goal = clients.send(Evaluate, 'nobody', Evaluate.Goal())
    clients.destroy()
    _failed(call.poll(0), 'service nobody: ')
    _failed(goal.poll(0), 'action nobody: ')


def test_a_sequence_ends_where_a_call_can_not_be_begun(node):
    clients, seen = Clients(node), []

    def good():
        return Condition(lambda _: Outcome(True), lambda: '')

    def bad():
        return clients.call(Trigger, BAD, Trigger.Request(), trigger_outcome)

    sequence = Sequence([good, bad, lambda: seen.append('begun')])
    assert sequence.poll(0) is None
    _failed(sequence.poll(0), WHY)
    assert seen == []


def test_a_hard_stop_by_a_service_that_can_not_be_called_has_failed(node):
    actions = _actions(node, stop_service=BAD)
    _failed(actions.begin_hard_stop().poll(0), f'service {BAD}: Invalid service name', WHY)
    actions.close()


def test_a_recovery_by_a_service_that_can_not_be_called_fails_and_says_why(node):
    actions = _actions(node, recover_service=BAD)
    recovery = Recovery(actions.recovery(), RecoveryConfig(attempts=2))
    recovery.start(0)
    for tick in range(5):
        recovery.tick(tick)
    assert recovery.state is RecoveryState.FAILED
    assert WHY in recovery.reason
    assert Step.CLEAR in actions.recovery()
    actions.close()


@pytest.mark.parametrize('step_s', [-3600.0, 3600.0])
def test_a_clock_that_is_set_keeps_nobody_waiting_for_an_answer(step_s):
    errands, now_ns = Errands(), 10**18
    waiting = errands.finish(Condition(lambda _: None, lambda: 'no answer'), now_ns, 1.0)
    waiting.send(None)
    errands.tick(now_ns + 10**9)
    errands.tick(now_ns + int(step_s * 1e9))
    with pytest.raises(StopIteration) as ended:
        waiting.send(None)
    assert ended.value.value == Outcome(False, 'no answer')


class _Server:
    """An action server that has not yet said whether it takes a goal."""

    def __init__(self):
        self.sent, self.cancelled = Future(), 0

    def server_is_ready(self):
        return True

    def send_goal_async(self, _):
        return self.sent

    def cancel_goal_async(self):
        self.cancelled += 1


@pytest.mark.parametrize('accepted', [True, False])
def test_a_goal_that_is_given_up_before_it_was_accepted_is_cancelled_once_it_is(accepted):
    server = _Server()
    call = ActionCall(server, None, 'grasp')
    assert call.cancel() == 'action grasp does not end'
    assert server.cancelled == 0
    server.sent.set_result(
        SimpleNamespace(accepted=accepted, cancel_goal_async=server.cancel_goal_async)
    )
    assert server.cancelled == int(accepted)
