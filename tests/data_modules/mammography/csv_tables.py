"""Tables of the tests as dictionaries, written and edited as CSV."""

import csv


def write_csv(path, rows, *, without=()):
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, [name for name in rows[0] if name not in without], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def edit_csv(path, row, **cells):
    rows = read_csv(path)
    rows[row].update(cells)
    write_csv(path, rows)


def edit_cell(path, row, column, value):
    """For columns whose names have spaces."""
    edit_csv(path, row, **{column: value})


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"a file")
    return path
