"""This pool as a BYOC capability of a go-livepeer orchestrator.

``shapes``: requests and answers. ``keeper``: what is to be said when. ``orchestrator`` and
``pool``: the HTTP calls. ``run``: the loops.
"""
