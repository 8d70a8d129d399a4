"""The priority a node's process gets: asked for, given where permitted, never a failure."""

from functools import partial
import os
from pathlib import Path
import subprocess
import sys

from roboadapt_ros.bringup.process import prepare
from roboadapt_ros.ros.priority import priority_environment

TELL = (
    'import os; from pathlib import Path; group = Path("/proc/self/autogroup");'
    'print(os.nice(0), os.sched_getscheduler(0), group.read_text() if group.exists() else "")'
)
ASK = (
    'import os; from roboadapt_ros.ros import priority as p; p.take_priority_of_environment(); '
    + TELL
)
REFUSED = """
import os
from roboadapt_ros.bringup.process import prepare
def refuse(*_): raise PermissionError
os.sched_setscheduler = os.nice = refuse
prepare(-10, 10)
print('runs', os.sched_getscheduler(0))
"""


def told(code, **options):
    words = [sys.executable, '-c', code]
    return subprocess.run(
        words, capture_output=True, text=True, timeout=30, check=True, **options
    ).stdout.split()


def test_niceness_holds_for_the_process_and_for_its_session():
    # Linux shares cores between sessions first: the process's own niceness alone changes little.
    niceness, policy, *group = told(TELL, preexec_fn=partial(prepare, 3), start_new_session=True)
    assert int(niceness) == min(os.nice(0) + 3, 19) and int(policy) == os.sched_getscheduler(0)
    switch = Path('/proc/sys/kernel/sched_autogroup_enabled')
    if switch.exists() and switch.read_text().strip() == '1':
        assert group[-2:] == ['nice', '3']


def test_a_session_that_others_share_keeps_its_priority():
    # Under launch it is the terminal's: a governor left all that runs there at niceness -10.
    group = Path('/proc/self/autogroup')
    before = group.read_text() if group.exists() else ''
    niceness, *_ = told(TELL, preexec_fn=partial(prepare, 2))
    assert int(niceness) == min(os.nice(0) + 2, 19)
    assert (group.read_text() if group.exists() else '') == before


def test_a_process_without_permission_runs_as_it_is():
    root = Path(__file__).parents[2]
    assert told(REFUSED, cwd=root) == ['runs', str(os.sched_getscheduler(0))]


def test_a_node_asks_for_what_its_environment_names_and_its_children_do_not():
    code = f'{ASK}; print([n for n in (p.NICENESS, p.REALTIME) if n in os.environ])'
    environment = {**os.environ, 'ROBOADAPT_NICENESS': '4', 'ROBOADAPT_REALTIME': ''}
    root = Path(__file__).parents[2]
    niceness, policy, *_, left = told(code, cwd=root, env=environment, start_new_session=True)
    assert int(niceness) == min(os.nice(0) + 4, 19)
    assert int(policy) == os.sched_getscheduler(0)
    assert left == '[]'


def test_nonsense_in_the_environment_asks_for_nothing():
    environment = {**os.environ, 'ROBOADAPT_NICENESS': 'high', 'ROBOADAPT_REALTIME': '9.5'}
    niceness, policy, *_ = told(ASK, cwd=Path(__file__).parents[2], env=environment)
    assert (int(niceness), int(policy)) == (os.nice(0), os.sched_getscheduler(0))


def test_only_what_is_not_usual_is_in_the_environment():
    assert priority_environment(0, 0) == {}
    assert priority_environment(-10, 10) == {
        'ROBOADAPT_NICENESS': '-10',
        'ROBOADAPT_REALTIME': '10',
    }
