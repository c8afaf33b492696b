"""The audit of a de-identified clip: six gates on the very bytes that are released, each a pure function of what judges
saw, who did not make the regions.

`ledger` is what was declared; `looking` is what judges see in a series of pictures; `agreement` says what of it counts;
`coverage`, `application`, `squint`, `outside`, `heads` and `time` are the gates; `controls` shows that they notice
faults; `utility` says what is left of the clip.
"""
