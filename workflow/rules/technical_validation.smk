# technical_validation: what can be told from the data, one trial a target and input, and who is who. Never part of `all`.


wildcard_constraints:
    population=r"[a-z]+",
    target=r"\w+",
    pictures=r"(?!gait)\w+",
    numbers=r"gait\w*",


rule trial_of_numbers:
    input:
        "<results>/splits/.made",
        lambda wildcards: tried(wildcards.population, [wildcards.numbers]),
    output:
        "<results>/technical_validation/{population}/{target}.{numbers}.tsv",
    log:
        "<results>/logs/technical_validation/{population}/{target}.{numbers}.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 3000,
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        digest=lambda wildcards: cases(wildcards.population).trial_digest(
            wildcards.target, wildcards.numbers
        ),
    shell:
        f"{GAITLOOM} technical-validation trial {{wildcards.population}} {{wildcards.target}} {{wildcards.numbers}} {CONFIG} 2> {{log:q}}"


rule trial_of_pictures:
    input:
        "<results>/splits/.made",
        lambda wildcards: tried(wildcards.population, [wildcards.pictures]),
    output:
        "<results>/technical_validation/{population}/{target}.{pictures}.tsv",
    log:
        "<results>/logs/technical_validation/{population}/{target}.{pictures}.log",
    conda:
        "../../envs/torch.yaml"
    threads: trial_threads()
    resources:
        **trial_gpus(),
        mem_mb=lambda wildcards, attempt: attempt * 8000,
        runtime=lambda wildcards, attempt: attempt * 720,
    params:
        digest=lambda wildcards: cases(wildcards.population).trial_digest(
            wildcards.target, wildcards.pictures
        ),
    shell:
        f"{GAITLOOM} technical-validation trial {{wildcards.population}} {{wildcards.target}} {{wildcards.pictures}} {CONFIG} 2> {{log:q}}"


rule re_identification:
    input:
        lambda wildcards: tried(wildcards.population, PLAN.nodes),
    output:
        "<results>/technical_validation/{population}/re_identification.tsv",
    log:
        "<results>/logs/technical_validation/{population}/re_identification.log",
    conda:
        "../../envs/core.yaml"
    resources:
        mem_mb=lambda wildcards, attempt: attempt * 4000,
        runtime=lambda wildcards, attempt: attempt * 240,
    params:
        digest=lambda wildcards: cases(wildcards.population).digest(),
    shell:
        f"{GAITLOOM} technical-validation re-identification {{wildcards.population}} {CONFIG} 2> {{log:q}}"


rule technical_validation_of:
    input:
        lambda wildcards: trials(wildcards.population),
        "<results>/technical_validation/{population}/re_identification.tsv",
    output:
        "<results>/technical_validation/{population}/TECHNICAL_VALIDATION.md",
    log:
        "<results>/logs/technical_validation/{population}/page.log",
    conda:
        "../../envs/core.yaml"
    params:
        digest=lambda wildcards: cases(wildcards.population).page_digest(),
    shell:
        f"{GAITLOOM} technical-validation page {{wildcards.population}} {CONFIG} 2> {{log:q}}"


rule technical_validation:
    input:
        lambda wildcards: pages(),
