"""What can be told from a data set: targets from gait parameters and from pictures, and who somebody is.

`learning` has the protocol; `features` and `tables` learn from gait parameters, `video` from silhouettes or flow;
`trials` cross-validates over the splits, `scores` says how well with intervals; `identity` tells people apart.
"""
