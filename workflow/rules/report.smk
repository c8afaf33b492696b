# report: overlay videos for local eyes, and what became of every clip. Nothing here is ever released.


rule preview:
    input:
        ancient("<results>/store.zarr/{subject}/{clip}/zarr.json"),
    output:
        video="<results>/preview/{subject}/{clip}.mp4",
        strip="<results>/preview/{subject}/{clip}.png",
    log:
        "<results>/logs/preview/{subject}/{clip}.log",
    params:
        digest=lambda wildcards: PLAN.preview_digest(
            f"{wildcards.subject}/{wildcards.clip}"
        ),
    conda:
        "../../envs/core.yaml"
    shell:
        f"{GAITLOOM} preview {{wildcards.subject}}/{{wildcards.clip}} --config {PLAN.path} 2> {{log}}"


REPORT = f"{GAITLOOM} index --config {PLAN.path} && {GAITLOOM} status --write --config {PLAN.path}"


rule report:
    input:
        expand(
            "<results>/store.zarr/{path}/zarr.json",
            path=PLAN.accepted,
        ),
        expand("<results>/preview/{path}.mp4", path=PLAN.accepted),
    output:
        touch("<results>/.reported"),
    log:
        "<results>/logs/report.log",
    params:
        digest=PLAN.report_digest(),
    conda:
        "../../envs/core.yaml"
    shell:
        f"({REPORT}) > {{log}} 2>&1"


# A failed job leaves no report behind: the ledger is written of what exists, and the next run reports again.
onerror:
    shell(
        f"rm -f {PLAN.config.results}/.reported; ({REPORT}) > {PLAN.config.results}/logs/report.log 2>&1; tail -n 20 {PLAN.config.results}/logs/report.log"
    )
