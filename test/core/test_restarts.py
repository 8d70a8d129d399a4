"""Which processes are started again by themselves, and how often."""

from roboadapt_ros.bringup.processes import process_list
from roboadapt_ros.bringup.restarts import MOST_RESTARTS, Restarts, WITHIN_S
from roboadapt_ros.bringup.rig import load_rig


def _find(rig, name):
    return next(each for each in process_list(load_rig(rig)) if each.name == name)


def test_a_process_is_started_again_a_few_times_in_a_while():
    now_s = [0.0]
    restarts = Restarts(clock=lambda: now_s[0])
    policy, encoder = _find('sim', 'policy'), _find('sim', 'encoder')
    for _ in range(MOST_RESTARTS):
        assert restarts.refusal(policy) == ''
        now_s[0] += 1.0
    assert restarts.refusal(policy) == 'it was started again 3 times in 10 minutes'
    assert restarts.refusal(encoder) == '', 'each for itself'
    now_s[0] = WITHIN_S
    assert restarts.refusal(policy) == '', 'the first of them is long ago'
    assert 'started again' in restarts.refusal(policy)


def test_a_governor_does_not_send_again_to_a_controller_that_minds_a_silence():
    assert 'deactivate it' in Restarts().refusal(_find('fr3_franka_ros2', 'governor'))
    assert Restarts().refusal(_find('fr3_franka_ros2', 'sim2real')) == ''
    assert Restarts().refusal(_find('fr3_jtc', 'governor')) == ''
    assert Restarts().refusal(_find('sim', 'governor')) == ''
