"""Shared memory, kernel, clocks of CPU and GPU: what makes a graph late."""

from __future__ import annotations

from roboadapt_ros.doctor.environment import other_hosts
from roboadapt_ros.doctor.facts import GpuFacts, GraphFacts, HostFacts, RigFacts
from roboadapt_ros.doctor.finding import Finding, info, ok, Severity, skipped

DEFAULT_FRAME_BYTES = 640 * 480 * 3
RECEIVE_BUFFER_BYTES = 4 * 2**20
"""Of a socket, as config/fastdds*.xml has it."""
PROFILE_FIX = (
    "unset FASTDDS_DEFAULT_PROFILES_FILE: 'roboadapt up' then uses config/fastdds.xml; start "
    'camera drivers with FASTDDS_DEFAULT_PROFILES_FILE (Humble, Jazzy: FASTRTPS_...) set to it'
)
# nvidia-smi's clocks_throttle_reasons bits: what slows a GPU that has work to do.
_SLOWED = {
    0x4: 'power cap',
    0x8: 'hardware slowdown',
    0x20: 'software thermal slowdown',
    0x40: 'hardware thermal slowdown',
    0x80: 'hardware power brake',
}
_LOW_CLOCK = 0.8


def check_machine(rig: RigFacts, host: HostFacts, graph: GraphFacts | None) -> list[Finding]:
    """Return what this host says."""
    findings = [_profile(host, graph), *_drivers(rig, host), _receive_buffer(host)]
    away = other_hosts(graph)
    arm_is_away = any(rig.joint_states in topics for topics in away.values())
    return [*findings, _kernel(rig, host, arm_is_away), _cpu(rig, host), *_gpus(host)]


def _profile(host: HostFacts, graph: GraphFacts | None) -> Finding:
    """Judge whether whole frames fit into shared memory."""
    if 'fastrtps' not in host.rmw:
        return skipped('shared_memory', host.rmw, 'the profile is for Fast DDS')
    frame = max(_frame_bytes(graph), DEFAULT_FRAME_BYTES)
    rule = f'a frame of {frame:,} bytes must fit, or it leaves as UDP fragments that are lost'
    profile = host.profile
    if profile is None:
        return Finding(
            check='shared_memory',
            subject='profile',
            severity=Severity.ERROR,
            found='Fast DDS has its own defaults: segments of 512 KiB',
            rule=rule,
            fix=PROFILE_FIX,
        )
    smallest = min(profile.segment_bytes, profile.message_bytes)
    if profile.problem or smallest < frame:
        sizes = f'segment {profile.segment_bytes:,}, message {profile.message_bytes:,} bytes'
        return Finding(
            check='shared_memory',
            subject=profile.path,
            severity=Severity.ERROR,
            found=profile.problem or sizes,
            rule=rule,
            fix=PROFILE_FIX,
        )
    free = host.shared_memory_free
    if free is not None and free < profile.segment_bytes:
        return Finding(
            check='shared_memory',
            subject='/dev/shm',
            severity=Severity.ERROR,
            found=f'{free // 2**20} MiB free',
            rule=f'every process takes a segment of {profile.segment_bytes // 2**20} MiB',
            fix='remove what dead processes left (fastdds shm clean), or give a container more: '
            'docker run --shm-size=1g',
        )
    return ok('shared_memory', profile.path, f'segments of {profile.segment_bytes // 2**20} MiB')


def _frame_bytes(graph: GraphFacts | None) -> int:
    pictures = graph.pictures.values() if graph is not None else ()
    return max((p.width * p.height * 3 for p in pictures if p.encoding), default=0)


def _drivers(rig: RigFacts, host: HostFacts) -> list[Finding]:
    """Say what can't be seen of other people's camera drivers."""
    foreign = [camera.name for camera in rig.cameras if not camera.has_driver]
    if rig.simulated or not foreign or 'fastrtps' not in host.rmw or host.profile is None:
        return []
    return [
        info(
            'shared_memory',
            ', '.join(foreign),
            'published by another driver; whether that uses the profile can not be seen',
            f'start it with FASTDDS_DEFAULT_PROFILES_FILE={host.profile.path} '
            '(Humble, Jazzy: FASTRTPS_DEFAULT_PROFILES_FILE)',
        )
    ]


def _receive_buffer(host: HostFacts) -> Finding:
    """Judge whether a thousand states a second find room while a busy process sleeps."""
    most, lost = host.receive_buffer_max, host.datagrams_lost
    if most is None:
        return skipped('receive_buffer', 'net.core.rmem_max', 'this host does not tell')
    found = f'{most // 1024:,} KiB at most, {lost:,} datagrams lost since this host came up'
    if most >= RECEIVE_BUFFER_BYTES:
        return ok('receive_buffer', 'net.core.rmem_max', found)
    return Finding(
        check='receive_buffer',
        subject='net.core.rmem_max',
        severity=Severity.WARNING,
        found=found,
        rule=f'{RECEIVE_BUFFER_BYTES // 2**20} MiB, as the Fast DDS profiles ask for: what finds '
        'no room is lost, and a reliable message comes late',
        fix=f'sudo sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}, and the same in '
        '/etc/sysctl.d/60-roboadapt.conf',
    )


def _kernel(rig: RigFacts, host: HostFacts, arm_is_away: bool) -> Finding:
    if host.is_realtime:
        return ok('kernel', 'real time', host.kernel)
    if rig.simulated:
        return info('kernel', 'real time', 'no PREEMPT_RT; the simulated rig needs none')
    if arm_is_away:
        return skipped('kernel', 'real time', "the arm's driver runs on another host", 'uname -v')
    return Finding(
        check='kernel',
        subject='real time',
        severity=Severity.WARNING,
        found=f'{host.kernel}: no PREEMPT_RT',
        rule='the host that runs franka_hardware answers the arm within 1 ms, 20 lost answers '
        'are communication_constraints_violation; nothing is needed where that is another host',
        fix='install a PREEMPT_RT kernel there (Ubuntu: sudo pro enable realtime-kernel) and add '
        'the user to a group with rtprio 99',
    )


def _cpu(rig: RigFacts, host: HostFacts) -> Finding:
    if not host.cpu_governors:
        return skipped('cpu_clock', 'governor', 'the kernel here does not set clocks')
    found = ', '.join(host.cpu_governors)
    if host.cpu_governors == ('performance',) or rig.simulated:
        return ok('cpu_clock', 'governor', found)
    return Finding(
        check='cpu_clock',
        subject='governor',
        severity=Severity.WARNING,
        found=found,
        rule="'performance': other governors lower the clock between two frames",
        fix='sudo cpupower frequency-set -g performance',
    )


def _gpus(host: HostFacts) -> list[Finding]:
    if host.gpus is None:
        return [info('gpu_clock', 'GPU', 'no NVIDIA GPU here; the backbone runs on the CPU')]
    if not host.gpus:
        return [
            Finding(
                check='gpu_clock',
                subject='GPU',
                severity=Severity.WARNING,
                found='nvidia-smi is there and does not answer',
                rule='driver and kernel module must fit',
                fix='nvidia-smi; after an update of the driver: sudo reboot',
            )
        ]
    return [_gpu(gpu) for gpu in host.gpus]


def _gpu(gpu: GpuFacts) -> Finding:
    slowed = [reason for bit, reason in _SLOWED.items() if gpu.throttle_bits & bit]
    found = f'{gpu.clock_mhz:.0f} of {gpu.clock_max_mhz:.0f} MHz'
    if slowed:
        return Finding(
            check='gpu_clock',
            subject=gpu.name,
            severity=Severity.WARNING,
            found=f'{found}, slowed by: {", ".join(slowed)}',
            rule='a slowed GPU makes features late',
            fix='cool it, or see: nvidia-smi -q -d PERFORMANCE,TEMPERATURE,POWER',
        )
    if gpu.clock_mhz < _LOW_CLOCK * gpu.clock_max_mhz or not gpu.persistent:
        loaded = '' if gpu.persistent else ', persistence mode off'
        return info(
            'gpu_clock',
            gpu.name,
            f'{found}{loaded}; at rest that is usual, but a frame then waits for the clock',
            f'sudo nvidia-smi -pm 1 && sudo nvidia-smi -lgc {gpu.clock_max_mhz:.0f}',
        )
    return ok('gpu_clock', gpu.name, found)
