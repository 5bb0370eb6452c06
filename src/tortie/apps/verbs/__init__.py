"""What commands do with the documents of a datastore: get, describe, apply, create, replace, patch, delete.

    service ─┬─ writing ──┬─ initial (what every datastore holds), fitting (to other documents)
             ├─ deleting ─┴─ cascading (what goes along)
             └─ reading ──── labels (of `-l`)          describing, patching: asked for by themselves

No socket, no terminal: the agent's API and the command line on a datastore file both come in here.
"""
