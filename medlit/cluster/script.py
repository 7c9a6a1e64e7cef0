"""Batch scripts for SLURM, for a person to read and edit."""

import re
import shlex
import sys
from dataclasses import dataclass
from pathlib import Path

from medlit import run_folder
from medlit.cluster.resources import Resources
from medlit.errors import ConfigurationError

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


@dataclass(frozen=True, kw_only=True)
class Script:
    """A batch job that trains; or, with ``words``, one that carries out another verb of medlit.

    Args:
        name: Of the job, in the queue.
        folder: Where script, configuration and output lie: the run folder or, of an array, that above its seeds.
        workdir: Where the job runs: relative paths start there.
        resources: What it asks for.
        program: How medlit is started.
        words: A verb and its options, carried out by one process; empty: training.
        seeds: Of an array of jobs; empty: a single job.
        ddp: Whether the processes are told to train by DDP; Lightning's own choice otherwise.
        allow_code: Whether its configuration may name code of any package.
        doctor: Whether ``medlit doctor`` looks around before training.
        stage: Folder or tar archive that is brought to the nodes' local disks, to be the root of the data.
        container: Image of Apptainer that holds medlit.

    Raises:
        ConfigurationError: If SLURM could not work in the folder.
    """

    name: str
    folder: Path
    workdir: Path
    resources: Resources
    program: tuple[str, ...]
    words: tuple[str, ...] = ()
    seeds: tuple[int, ...] = ()
    ddp: bool = False
    allow_code: bool = False
    doctor: bool = True
    stage: Path | None = None
    container: Path | None = None

    def __post_init__(self) -> None:
        for path in (self.folder, self.workdir):
            if "\\" in str(path) or not str(path).isprintable():
                raise ConfigurationError(
                    f"{str(path)!r}: SLURM takes no backslash and no line break in a folder's name"
                )

    @property
    def path(self) -> Path:
        """Where the script is written."""
        return self.folder / run_folder.SUBMIT_SCRIPT

    def __str__(self) -> str:
        sections = [self._head(), self._names(), self._finish(), START]
        if self.words:
            sections.append(f'"${{medlit[@]}}" {shlex.join(self.words)}\nfinish $?')
        else:
            sections += [SURROUNDINGS, self._options(), self._staging(), self._doctor(), self._training()]
        return "\n\n".join(section for section in sections if section) + "\n"

    def _head(self) -> str:
        """What SLURM reads."""
        asked = self.resources
        folder = str(self.folder).replace("%", "%%")
        lines = {
            "job-name": _quoted(self.name),
            "chdir": _quoted(str(self.workdir)),
            "output": _quoted(folder + ("/seed_%a/slurm-%A_%a.out" if self.seeds else "/slurm-%j.out")),
            "open-mode": "append",
            "partition": asked.partition,
            "account": asked.account,
            "qos": asked.qos,
            "array": ",".join(map(str, self.seeds)) or None,
            "nodes": asked.nodes,
            "ntasks-per-node": asked.processes_per_node,
            "gpus-per-node": asked.gpus_per_node or None,
            "cpus-per-task": asked.cpus_per_task,
            "mem": asked.mem,
            "time": asked.time,
            "signal": None if self.words else f"USR1@{asked.signal_seconds}",
        }
        told = [f"#SBATCH --{option}={value}" for option, value in lines.items() if value is not None]
        again = shlex.join(["medlit", "submit", "--resume", str(self.folder)])
        first = f"# Written by medlit submit. Edit what you like, and submit it again: {again}"
        return "\n".join(["#!/bin/bash", first, *told, "#SBATCH --requeue", "", "set -u"])

    def _names(self) -> str:
        """What the rest of the script speaks of."""
        folder = _word(self.folder)
        lines = ["job=$SLURM_JOB_ID", f"run_dir={folder}"]
        if self.seeds:
            lines = [
                "seed=$SLURM_ARRAY_TASK_ID",
                "job=${SLURM_ARRAY_JOB_ID}_$seed  # the number of a seed's job may be that of the whole array",
                f"run_dir={folder}/seed_$seed",
            ]
        if self.stage:
            lines.append("local_disk=${SLURM_TMPDIR:-${TMPDIR:-/tmp}}/medlit-$SLURM_JOB_ID")
            lines.append("# A node that is done, or failed, does not end the others, whatever the cluster's defaults.")
            lines.append("once_per_node=(srun --export=ALL --kill-on-bad-exit=0 --wait=0)")
            lines.append('once_per_node+=(--ntasks="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1)')
        lines.append(f"medlit=({self._program()})")
        lines.append("most_restarts=50  # then it is given up")
        return "\n".join(lines)

    def _program(self) -> str:
        if self.container is None:
            return shlex.join(self.program)
        gpu = " --nv" if self.resources.gpus_per_node else ""
        bound = ' --bind "$local_disk"' if self.stage else ""
        return f"apptainer exec{gpu}{bound} {_word(self.container)} medlit"

    def _finish(self) -> str:
        """The function that ends the job."""
        if not self.stage:
            return re.sub(r" *@UNSTAGE .*\n", "", FINISH)
        return f"{UNSTAGE}\n\n{FINISH.replace('@UNSTAGE', 'unstage')}"

    def _options(self) -> str:
        """Options of every process."""
        options = [
            f"--config {_word(self.folder / run_folder.SUBMITTED)}",
            '--run_dir "$run_dir"',
            "--resume true",
            *(["--allow-code true"] if self.allow_code else []),
            *(['--seed_everything "$seed"'] if self.seeds else []),
            f"--trainer.accelerator {'gpu' if self.resources.gpus_per_node else 'cpu'}",
            *(["--trainer.strategy ddp"] if self.ddp else []),
            '--trainer.devices "$SLURM_NTASKS_PER_NODE"',
            '--trainer.num_nodes "$SLURM_JOB_NUM_NODES"',
        ]
        return "\n".join(["options=(", *(f"    {option}" for option in options), ")"])

    def _staging(self) -> str:
        if self.stage is None:
            return ""
        is_archive = self.stage.name.endswith(ARCHIVES)
        return (
            STAGE.replace("@COPIED@", "unpacked" if is_archive else "copied (of links, what they lead to)")
            .replace("@COPY@", 'tar -xf "$1" -C "$2"' if is_archive else 'cp -RL "$1/." "$2"')
            .replace("@DATA@", _word(self.stage))
        )

    def _doctor(self) -> str:
        return DOCTOR if self.doctor else ""

    def _training(self) -> str:
        return TRAINING.replace("@EACH@", "GPU" if self.resources.gpus_per_node else "task")


FINISH = f"""\
# Ends the job with an exit code. 75: stopped by a signal, and saved; 138 and 143: by the signal itself, SIGUSR1 or
# SIGTERM, before training could hear it. All three go back into the queue, unless somebody cancelled the job. Any other
# code is left in the run folder, where medlit status finds it.
finish() {{
    local code=$1 restarts=${{SLURM_RESTART_COUNT:-0}}
    if [[ $code == 75 || $code == 138 || $code == 143 ]] && ((restarts < most_restarts)) &&
        scontrol --oneliner show job "$job" | grep -q ' JobState=RUNNING '; then
        echo "Stopped by a signal: job $job goes back into the queue, restart $((restarts + 1)) of $most_restarts."
        @UNSTAGE 30  # no longer: SLURM is about to end the job
        scontrol requeue "$job" && exit "$code"
    fi
    echo "$job $code" > "$run_dir/{run_folder.JOB_STATE}"
    @UNSTAGE 0
    exit "$code"
}}"""

UNSTAGE = r"""# Removes the copy of the data from every node, for so many seconds at most; 0: however long it takes.
unstage() {
    timeout --kill-after=5 "$1" "${once_per_node[@]}" sh -c '
        find "$1" -type d ! -perm -u+w -exec chmod u+w {} +  # folders that are read-only where the data come from
        rm -rf "$1"
    ' unstage "$local_disk"
    rm -f "$run_dir/staged"
}"""

STAGE = """\
# The data are @COPIED@ to the local disk of every node, for nobody else to read.
# A run that goes on elsewhere has to find them under the same name: that is the link. What a killed start left there is
# gone on with; a folder, or a link, that somebody else made first is not.
"${once_per_node[@]}" sh -c '
    umask 077
    mkdir -p "$(dirname "$2")"
    said=$(mkdir "$2" 2>&1) || [ "$(LC_ALL=C stat -c %u:%F "$2")" = "$(id -u):directory" ] || {
        echo "$said on $(hostname), and it is no folder of your own: remove it" >&2
        exit 2
    }
    chmod -R u+rwX,go= "$2" && @COPY@
' stage @DATA@ "$local_disk" || finish $?
ln -sfn "$local_disk" "$run_dir/staged"
options+=(--data.init_args.root "$run_dir/staged")"""

START = f"""\
echo "$job running" > "$run_dir/{run_folder.JOB_STATE}"
echo "Job $job on $SLURM_JOB_NODELIST, $(date)\""""

SURROUNDINGS = """\
# Where the processes meet: the first node, by an address that every node can reach.
MASTER_ADDR=127.0.0.1
if ((SLURM_JOB_NUM_NODES > 1)); then
    MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    if ! getent hosts "$MASTER_ADDR" > /dev/null; then  # SLURM calls the node by another name than the network does
        MASTER_ADDR=$(scontrol --oneliner show node "$MASTER_ADDR" | grep -o 'NodeAddr=[^ ]*' | cut -d = -f 2)
    fi
fi
export MASTER_ADDR MASTER_PORT=$((10000 + SLURM_JOB_ID % 20000))
export HF_HUB_OFFLINE=1 TRANSFORMERS_OFFLINE=1  # weights are fetched on the login node
export PYTHONUNBUFFERED=1  # the output is there when it is written
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it from the job, from SLURM 22.05 on"""

DOCTOR = """\
# The first process of each node looks around before the allocation is spent: devices, data, weights, free space.
# The others of a node return at once, and must not end it.
srun --export=ALL --kill-on-bad-exit=0 --wait=0 "${medlit[@]}" doctor "${options[@]}" || finish $?"""

TRAINING = """\
# Training, one process per @EACH@, goes on from the last checkpoint where there is one. After a signal one process ends
# before the others: it must not take them along; and one that failed does not keep them waiting for longer than 300 s.
srun --export=ALL --kill-on-bad-exit=0 --wait=300 "${medlit[@]}" fit "${options[@]}"
finish $?"""


def signal_seconds_of(text: str) -> int | None:
    """How long before its limit a script, which a person may have edited, is sent its signal; None: it asks for none.

    Args:
        text: Of the script.
    """
    asked = re.findall(r"^#SBATCH\s+--signal[=\s]\W?(?:\w+:)?\w+(?:@(\d+))?", text, flags=re.MULTILINE)
    return int(asked[-1] or 60) if asked else None  # sbatch's own default


def program() -> tuple[str, ...]:
    """How the medlit that is running is started."""
    script = Path(sys.executable).with_name("medlit")
    return (str(script),) if script.is_file() else (sys.executable, "-P", "-m", "medlit.cli")


def _word(text: str | Path) -> str:
    """One word of bash."""
    return shlex.quote(str(text))


def _quoted(text: str) -> str:
    """A value as sbatch reads it in a line of the script."""
    return '"' + text.replace('"', '\\"') + '"'
