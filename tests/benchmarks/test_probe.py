"""The benchmark of the probe runs, and its two sides agree; it says nothing of time here."""

import sys

from benchmarks import probe


def test_both_sides_agree_on_a_small_set(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["probe", "--cases", "200", "--width", "12", "--repeats", "1", "--threads", "1"])
    probe.main()
    said = capsys.readouterr().out
    assert "200 x 12, 4 classes, 1 threads" in said
    assert "s for 6 penalties" in said
    assert "probabilities agree to" in said
