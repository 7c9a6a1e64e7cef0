"""Verbs of the command line beyond Lightning's four.

Each module holds ``main(args: list[str]) -> int``: the words after the verb in, the exit code out.
"""

VERBS: dict[str, tuple[str, str]] = {
    "data": ("medlit.commands.data", "check a data set, write a look-alike of one, prepare a mammography set"),
    "demo": ("medlit.commands.demo", "train and compare on a look-alike set, on a CPU in minutes"),
    "recipe": ("medlit.commands.recipe", "run trainings that depend on each other, over seeds, into one table"),
    "submit": ("medlit.commands.submit", "train as a batch job of SLURM that goes on where it was stopped"),
    "status": ("medlit.commands.status", "how far runs are: state, epoch, best metric, time left"),
    "convert": ("medlit.commands.convert", "take over a checkpoint of the papers' own code"),
    "weights": ("medlit.commands.weights", "list or fetch the pretrained weights that a configuration needs"),
    "doctor": ("medlit.commands.doctor", "check machine, data and folders before an allocation is spent"),
    "export": ("medlit.commands.export", "write a checkpoint's trained weights as safetensors"),
}
"""By verb: the module that carries it out, and one line of help."""
