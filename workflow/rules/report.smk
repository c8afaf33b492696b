# report: overlay videos over the de-identified pictures, what became of every clip, and what somebody has to look at.


rule preview:
    input:
        of_clip(["video", *PLAN.shown.values()]),
    output:
        video="<results>/preview/{subject}/{clip}.mp4",
        strip="<results>/preview/{subject}/{clip}.jpg",
    log:
        "<results>/logs/preview/{subject}/{clip}.log",
    conda:
        "../../envs/core.yaml"
    threads: cores("preview")
    resources:
        **needs("preview"),
    params:
        digest=lambda wildcards: PLAN.preview_digest(
            f"{wildcards.subject}/{wildcards.clip}"
        ),
    shell:
        f"{GAITLOOM} preview {{wildcards.subject}}/{{wildcards.clip}} {CONFIG} 2> {{log:q}}"


REPORT = f"{GAITLOOM} index {CONFIG} && {GAITLOOM} report {CONFIG}"


rule report:
    input:
        finished,
    output:
        touch("<results>/.reported"),
    log:
        "<results>/logs/report.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * (2000 + len(PLAN.accepted) // 10),
        runtime=lambda wildcards, attempt: attempt * (60 + len(PLAN.accepted) // 100),
    params:
        digest=lambda wildcards: PLAN.report_digest(),
    shell:
        f"({REPORT}) > {{log:q}} 2>&1"


# A failed job leaves no report behind: the ledger is written of what exists, and the next run reports again.
onerror:
    shell(f"rm -f {quote(str(PLAN.config.results / '.reported'))}; {REPORT}")
