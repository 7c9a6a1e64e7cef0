"""What a job asks for is checked before SLURM is asked."""

import pytest

from medlit.cluster.resources import Resources, seconds, seeds_of
from medlit.errors import ConfigurationError


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        ("30", 30 * 60),
        ("5:30", 5 * 60 + 30),
        ("12:00:00", 12 * 3600),
        ("2-12", 60 * 3600),
        ("1-02:03", 26 * 3600 + 180),
        ("1-02:03:04", 26 * 3600 + 184),
    ],
)
def test_times_are_read_as_slurm_reads_them(time, expected):
    assert seconds(time) == expected


@pytest.mark.parametrize("time", ["", "25h", "-5", "1:2:3:4", "1-", "x-12", "12:000", "30\n"])
def test_what_slurm_reads_no_time_from_is_refused(time):
    with pytest.raises(ConfigurationError, match="expected minutes"):
        seconds(time)


@pytest.mark.parametrize(
    ("array", "expected"), [("0-2", (0, 1, 2)), ("0,1,2", (0, 1, 2)), ("7", (7,)), ("3,5-6", (3, 5, 6))]
)
def test_seeds_are_numbers_and_ranges(array, expected):
    assert seeds_of(array) == expected


@pytest.mark.parametrize(
    ("array", "why"),
    [
        ("a", "expected seeds such as 0-2"),
        ("0-2,", "expected seeds"),
        ("-1", "expected seeds"),
        ("2-0", "2-0 is no range"),
        ("0-99999999999", "no range"),
        ("0-2,1", "names a seed twice"),
    ],
)
def test_what_is_no_seeds_is_refused(array, why):
    with pytest.raises(ConfigurationError, match=why):
        seeds_of(array)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"nodes": 0}, "--nodes is 0"),
        ({"gpus_per_node": -1}, "--gpus-per-node is -1"),
        ({"gpus_per_node": 0, "tasks_per_node": 0}, "--tasks-per-node is 0"),
        ({"gpus_per_node": 2, "tasks_per_node": 2}, "--tasks-per-node is for jobs without GPUs"),
        ({"cpus_per_task": 0}, "--cpus-per-task is 0"),
        ({"mem": "64GB"}, "--mem '64GB': expected megabytes"),
        ({"partition": "a b"}, "--partition 'a b' is no name"),
        ({"account": "x\n#SBATCH --nodes=9"}, "--account"),
        ({"qos": ""}, "--qos '' is no name"),
        ({"time": "3"}, "--time 3 is 180 seconds: training would be told to end 120 seconds before that"),
        ({"signal_seconds": 0}, "--signal-seconds is 0"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_option(changes, why):
    with pytest.raises(ConfigurationError, match=why):
        Resources(**{"time": "30", **changes})
