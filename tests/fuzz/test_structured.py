"""Tables and settings made by hypothesis: whatever is in their cells, they are read or refused in one line."""

import csv
import io

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.fuzz.config import read_config, read_plan
from benchmarks.fuzz.judge import judge
from benchmarks.fuzz.tables import read_own
from benchmarks.fuzz.trees import table

COLUMNS = table().split("\n")[0].split(",")
cells = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", "train", "valid", "yes", "no", "maybe", "0", "1", "1.0", "f", "m", "a.png;b.png", "p1"]),
    st.integers(-3, 200).map(str),
    st.floats().map(str),
)
rows = st.lists(st.lists(cells, min_size=len(COLUMNS), max_size=len(COLUMNS)), max_size=5)
plain = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.dates()),
    lambda below: st.one_of(
        st.lists(below, max_size=3), st.dictionaries(st.one_of(st.text(max_size=5), st.integers()), below, max_size=3)
    ),
    max_leaves=12,
)
names = st.sampled_from(["a", "b", "a/x", "", "x y"])
stages = st.dictionaries(
    names,
    st.fixed_dictionaries(
        {"configs": st.one_of(plain, st.just(["experiments/overlays/tiny.yaml"]))},
        optional={
            "init_from": st.one_of(plain, st.dictionaries(st.just("clinic"), names, max_size=1)),
            "weights_from": plain,
            "set": st.one_of(plain, st.dictionaries(st.just("trainer.max_epochs"), plain, max_size=1)),
            "seeds": st.one_of(plain, st.lists(st.integers(0, 3), max_size=3)),
            "variants": st.one_of(plain, st.dictionaries(names, st.just({"set": {"a.b": 1}}), max_size=2)),
            "test": st.one_of(plain, st.booleans()),
        },
    ),
    max_size=3,
)
recipes = st.fixed_dictionaries(
    {"name": st.one_of(plain, names), "seeds": st.one_of(plain, st.just([0, 1])), "stages": st.one_of(plain, stages)},
    optional={
        "num_folds": st.one_of(plain, st.integers(-1, 5)),
        "compare": st.one_of(plain, st.dictionaries(names, st.one_of(names, st.lists(names, max_size=2)), max_size=2)),
        "protocol": plain,
        "set": plain,
    },
)
quick = settings(
    max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(rows=rows, ends=st.sampled_from(["\n", "\r\n"]))
def test_a_table_of_any_cells(tmp_path, rows, ends):
    stream = io.StringIO()
    csv.writer(stream, lineterminator=ends).writerows([COLUMNS, *rows])
    (tmp_path / "table.csv").write_bytes(stream.getvalue().encode("utf-8", errors="replace"))
    outcome = judge(lambda data: read_own(tmp_path, "table.csv"), b"")
    assert outcome.result != "failed", outcome


@quick
@given(tree=plain)
def test_a_configuration_of_any_values(tmp_path, tree):
    path = tmp_path / "c.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    outcome = judge(lambda data: read_config(path), b"")
    assert outcome.result != "failed", outcome


@quick
@given(tree=recipes)
def test_a_recipe_of_any_values(tmp_path, tree):
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    outcome = judge(lambda data: read_plan(path), b"")
    assert outcome.result != "failed", outcome
