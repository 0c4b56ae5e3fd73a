"""The kill matrix: every part of the pipeline killed, frozen and starved at every edge, and what is left counted."""
