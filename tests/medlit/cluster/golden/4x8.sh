#!/bin/bash
# Written by medlit submit. Edit what you like, and submit it again: medlit submit --resume runs/mama_embed
#SBATCH --job-name="mama_embed"
#SBATCH --chdir="/home/me/study"
#SBATCH --output="runs/mama_embed/slurm-%j.out"
#SBATCH --open-mode=append
#SBATCH --partition=gpu
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=8
#SBATCH --mem=480G
#SBATCH --time=1-00:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue

set -u

job=$SLURM_JOB_ID
run_dir=runs/mama_embed
medlit=(/home/me/.venv/bin/medlit)
most_restarts=50  # then it is given up

# Ends the job with an exit code. 75: stopped by a signal, and saved; 138 and 143: by the signal itself, SIGUSR1 or
# SIGTERM, before training could hear it. All three go back into the queue, unless somebody cancelled the job. Any other
# code is left in the run folder, where medlit status finds it.
finish() {
    local code=$1 restarts=${SLURM_RESTART_COUNT:-0}
    if [[ $code == 75 || $code == 138 || $code == 143 ]] && ((restarts < most_restarts)) &&
        scontrol --oneliner show job "$job" | grep -q ' JobState=RUNNING '; then
        echo "Stopped by a signal: job $job goes back into the queue, restart $((restarts + 1)) of $most_restarts."
        scontrol requeue "$job" && exit "$code"
    fi
    echo "$job $code" > "$run_dir/job_state"
    exit "$code"
}

echo "$job running" > "$run_dir/job_state"
echo "Job $job on $SLURM_JOB_NODELIST, $(date)"

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
export SRUN_CPUS_PER_TASK=$SLURM_CPUS_PER_TASK  # srun does not take it from the job, from SLURM 22.05 on

options=(
    --config runs/mama_embed/submit.yaml
    --run_dir "$run_dir"
    --resume true
    --trainer.accelerator gpu
    --trainer.devices "$SLURM_NTASKS_PER_NODE"
    --trainer.num_nodes "$SLURM_JOB_NUM_NODES"
)

# The first process of each node looks around before the allocation is spent: devices, data, weights, free space.
# The others of a node return at once, and must not end it.
srun --export=ALL --kill-on-bad-exit=0 --wait=0 "${medlit[@]}" doctor "${options[@]}" || finish $?

# Training, one process per GPU, goes on from the last checkpoint where there is one. After a signal one process ends
# before the others: it must not take them along; and one that failed does not keep them waiting for longer than 300 s.
srun --export=ALL --kill-on-bad-exit=0 --wait=300 "${medlit[@]}" fit "${options[@]}"
finish $?
