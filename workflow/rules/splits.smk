# splits: who is trained on, and who is tested. Never part of `all`.


rule splits:
    output:
        touch("<results>/splits/.made"),
    log:
        "<results>/logs/splits.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    params:
        digest=lambda wildcards: splits_digest(),
    shell:
        f"{GAITLOOM} splits {CONFIG} 2>&1 | tee {{log:q}}"
