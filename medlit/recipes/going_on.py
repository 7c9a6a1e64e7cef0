"""What has to be run for a training of a recipe: from the start, from its newest checkpoint, or its test alone."""

from medlit import run_folder
from medlit.recipes.plan import Job, read_record, state_of
from medlit.resume import is_trained


def next_command(job: Job) -> tuple[str, list[str]]:
    """What has to be run for a training that is not finished.

    It goes on from its last checkpoint, and the result is the very same as without the interruption; without a
    checkpoint it starts anew.

    Returns:
        A word for the user, and the words after ``medlit``.
    """
    if state_of(job) == "interrupted" and _is_in_place(job):
        if is_trained(job.folder):
            allowed = ["--allow-code", "true"] if job.allow_code else []
            return "testing", ["test", "--config", str(job.folder / run_folder.CONFIG), *allowed]
        if run_folder.has_checkpoint(job.folder):
            return "going on", ["fit", *job.fit_options, "--resume", "true"]
    return "starting", ["fit", *job.fit_options]


def make_room(job: Job) -> None:
    """Remove what an earlier attempt left, so that a training can start anew."""
    run_folder.clear(job.folder)
    (job.folder / run_folder.JOB_STATE).unlink(missing_ok=True)
    if read_record(job.folder):  # it was killed before medlit's manifest was there
        (job.folder / run_folder.CONFIG).unlink(missing_ok=True)


def _is_in_place(job: Job) -> bool:
    """The saved configuration names its folder: one that was moved starts anew."""
    return bool(read_record(job.folder).get("folder") == str(job.folder.resolve()))
