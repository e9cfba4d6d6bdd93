"""Made-up machines under the real loop: nothing is lost, and what is put aside deserves it."""

from __future__ import annotations

from pathlib import Path

from talkinghead.fleet.simulation import World, made_up_jobs, simulate

SMALL = World(nodes=20, rows=600, faces=40, video_s=60.0, life_s=1800.0, sick=0.1, bad=0.01, deadly=0.004, hangs=0.002)


def test_a_small_fleet_where_everything_goes_wrong(tmp_path: Path) -> None:
    figures = simulate(SMALL, tmp_path)
    assert figures.bad > 3
    assert (figures.done, figures.aside) == (SMALL.rows - figures.bad, figures.bad)
    assert figures.wronged == 0, "rows that nothing is wrong with are made, whatever happens around them"
    assert figures.lost > 20
    assert figures.attempts > SMALL.rows + 2 * figures.bad
    assert figures.ideal_hours < figures.hours < 3 * figures.ideal_hours


def test_rows_of_one_face_share_a_model_and_lie_together(tmp_path: Path) -> None:
    jobs = list(made_up_jobs(SMALL, tmp_path))
    assert [job.row for job in jobs] == list(range(1, SMALL.rows + 1))
    assert len({job.key for job in jobs}) == SMALL.rows
    faces = [job.face for job in jobs]
    assert [face for number, face in enumerate(faces) if number == 0 or faces[number - 1] != face] == list(
        dict.fromkeys(faces)
    )
    assert len({(job.face, job.head) for job in jobs}) == len(set(faces))
