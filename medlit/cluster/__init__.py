"""SLURM: runs as batch jobs that requeue themselves, recipes as dependent jobs, and how far each of them is."""
