# silhouette: the subject's pixels in every frame.


rule silhouette:
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
        node=nodes("silhouette"),
    threads: 1
    shell:
        DERIVE
