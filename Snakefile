# GaitLoom: raw gait videos in, one verified multimodal Zarr store out.
# Table of contents: the configuration, the plan that follows from it, and one rule file a modality.
from snakemake.utils import min_version

min_version("9.27")


# One whole configuration, never two merged: a file given by --configfile stands alone.
if not workflow.config_settings.configfiles:

    configfile: "config/config.yaml"


include: "workflow/rules/common.smk"
include: "workflow/rules/video.smk"
include: "workflow/rules/track.smk"
include: "workflow/rules/keypoints.smk"
include: "workflow/rules/silhouette.smk"
include: "workflow/rules/parts.smk"
include: "workflow/rules/flow.smk"
include: "workflow/rules/faces.smk"
include: "workflow/rules/deidentified.smk"
include: "workflow/rules/gait.smk"
include: "workflow/rules/audit.smk"
include: "workflow/rules/store.smk"
include: "workflow/rules/report.smk"
include: "workflow/rules/splits.smk"
include: "workflow/rules/technical_validation.smk"
include: "workflow/rules/release.smk"
include: "workflow/rules/weights.smk"


rule all:
    default_target: True
    input:
        lambda wildcards: list(lost(batch()[0])),
        lambda wildcards: "<results>/.reported" if batch()[1] else finished(wildcards),
