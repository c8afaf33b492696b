# store: one index a clip over its nodes; the root over all clips is written with the report, of what exists.


rule index:
    input:
        of_clip(PLAN.nodes),
    output:
        "<results>/store.zarr/{subject}/{clip}/zarr.json",
    log:
        "<results>/logs/index/{subject}/{clip}.log",
    conda:
        "../../envs/core.yaml"
    threads: cores("index")
    resources:
        **needs("index"),
    params:
        digest=lambda wildcards: PLAN.index_digest(
            f"{wildcards.subject}/{wildcards.clip}"
        ),
    shell:
        f"{GAITLOOM} index {{wildcards.subject}}/{{wildcards.clip}} {CONFIG} 2> {{log:q}}"
