"""One file for a site: its model, its cameras, and where their events go.

From text to work: `lines` -> `schema`, with `checks` -> `cameras`, with `events`, and `sinks` ->
`load` -> `run`.
What is wrong on the way is collected in `problems`.
"""
