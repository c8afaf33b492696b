# flow: how every pixel of the subject's region moves to the next frame.


rule flow:
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
        node=nodes("flow"),
    threads: 1
    shell:
        DERIVE
