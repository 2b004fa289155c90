"""The crash matrix: faults of every kind against the real pipeline, each checked to the last row.

`python -m tests.chaos --kills N --seed S` runs it by hand, `test_matrix.py` a short part of it.

    __main__ ─▶ plan (which faults, in which order) ─▶ arena (broker, front, proxies, project)
                  └▶ faults_* (what is done) ─▶ members (consumers) ─▶ audit (what must hold)
                                                                        └▶ table (what is shown)
"""
