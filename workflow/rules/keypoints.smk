# keypoints: the subject's joints in every frame.


rule keypoints:
    input:
        source,
        reads,
    output:
        directory("<results>/store.zarr/{subject}/{clip}/{node}"),
    log:
        "<results>/logs/{node}/{subject}/{clip}.log",
    params:
        recipe=recipe,
    wildcard_constraints:
        node=nodes("keypoints"),
    threads: 1
    shell:
        DERIVE
