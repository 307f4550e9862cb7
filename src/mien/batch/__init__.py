"""Clips without number → one table in Parquet, by Ray Data, stopped and gone on with at will.

The way of the data: ``inputs`` (what is asked for → paths, one after the other) → ``plan`` (the
paths, each once, in files: what will be done) → ``pipeline`` (Ray Data: pieces of the plan to
``worker``, each with a process of its own that holds a warm recogniser, ``engine``) → ``parts``
(the answers of a file of the plan → one file of the table and one of errors) → ``summary``.

Each piece of the plan has one place for its answers, whoever gives them and how often. So nothing
is lost or doubled, whatever is killed: what is there is kept, what is not is done.
"""
