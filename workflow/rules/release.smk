# release: the tiers' archives. Never part of `all`: one part a clip and tier, then one release a tier.

for tier in RELEASE.tiers if RELEASE else ():

    rule:
        name:
            f"part_{tier}"
        input:
            part_reads(tier),
        output:
            f"<results>/release/parts/{tier}/{{subject}}/{{clip}}/part.json",
        log:
            f"<results>/logs/part_{tier}/{{subject}}/{{clip}}.log",
        conda:
            "../../envs/core.yaml"
        threads: cores("part")
        resources:
            **needs("part"),
        params:
            tier=tier,
            digest=lambda wildcards, tier=tier: part_of(tier, wildcards)[0],
        shell:
            f"{GAITLOOM} release part {{wildcards.subject}}/{{wildcards.clip}} --tier {{params.tier}} {CONFIG} 2> {{log:q}}"

    rule:
        name:
            f"release_{tier}"
        input:
            lambda wildcards, tier=tier: expand(
                "<results>/release/parts/{tier}/{path}/part.json",
                tier=tier,
                path=PLAN.parts(tier),
            ),
            found_before(tier),
        output:
            touch(f"<results>/release/done/{RELEASE.name}-{RELEASE.version}-{tier}"),
        log:
            f"<results>/logs/release_{tier}.log",
        conda:
            "../../envs/core.yaml"
        resources:
            mem_mb=lambda wildcards, attempt: attempt * 4000,
            runtime=lambda wildcards, attempt: attempt * 720,
        params:
            tier=tier,
            digest=lambda wildcards, tier=tier: PLAN.release_digest(tier),
        shell:
            f"{GAITLOOM} release build --tier {{params.tier}} {CONFIG} 2> {{log:q}}"


rule release:
    input:
        expand(
            "<results>/release/done/{name}-{version}-{tier}",
            name=RELEASE.name if RELEASE else "",
            version=RELEASE.version if RELEASE else "",
            tier=list(RELEASE.tiers) if RELEASE else [],
        ),
    log:
        "<results>/logs/release.log",
    localrule: True
    conda:
        "../../envs/core.yaml"
    shell:
        f"{GAITLOOM} release show {CONFIG} 2>&1 | tee {{log:q}}"
