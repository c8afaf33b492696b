# video: decode a clip once; its time axis is everyone's.


rule video:
    input:
        source,
    output:
        "<results>/store.zarr/{subject}/{clip}/video/zarr.json",
    log:
        "<results>/logs/video/{subject}/{clip}.log",
    conda:
        "../../envs/core.yaml"
    threads: cores("video")
    resources:
        **needs("video"),
    params:
        node="video",
        recipe=recipe("video"),
    shell:
        DERIVE
