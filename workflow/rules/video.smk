# video: decode a clip once; its time axis is everyone's.


rule video:
    input:
        source,
    output:
        directory("<results>/store.zarr/{subject}/{clip}/{node}"),
    log:
        "<results>/logs/{node}/{subject}/{clip}.log",
    params:
        recipe=recipe,
    wildcard_constraints:
        node=nodes("video"),
    shell:
        DERIVE
