# weights: fetch the weight files that the nodes need, where there is a network. Never part of `all`: jobs check, and
# fetch, what they load by themselves.


localrules:
    weights,


rule weights:
    log:
        "<results>/logs/weights.log",
    conda:
        "../../envs/core.yaml"
    shell:
        f"{GAITLOOM} weights {CONFIG} 2>&1 | tee {{log:q}}"
