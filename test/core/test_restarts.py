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
        assert restarts.claim(policy) == ''
        now_s[0] += 1.0
    assert restarts.claim(policy) == 'it was started again 3 times in 10 minutes'
    assert restarts.claim(encoder) == '', 'each for itself'
    now_s[0] = WITHIN_S
    assert restarts.claim(policy) == '', 'the first of them is long ago'
    assert 'started again' in restarts.claim(policy)


def test_a_governor_does_not_send_again_to_a_controller_that_minds_a_silence():
    assert 'deactivate it' in Restarts().claim(_find('fr3_franka_ros2', 'governor'))
    assert 'deactivate it' in Restarts().claim(_find('fr3_crisp', 'governor'))
    assert Restarts().claim(_find('fr3_franka_ros2', 'sim2real')) == ''
    assert Restarts().claim(_find('fr3_jtc', 'governor')) == ''
    assert Restarts().claim(_find('sim', 'governor')) == ''
