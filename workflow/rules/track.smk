# track: find people, link them over time, choose the subject.


rule track:
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
        node=nodes("track"),
    threads: 1
    shell:
        DERIVE
