# keypoints: the subject's joints in every frame.

for node in PLAN.nodes_of("keypoints"):

    rule:
        name:
            node
        input:
            reads(node),
        output:
            directory(f"<results>/store.zarr/{{subject}}/{{clip}}/{node}"),
        log:
            f"<results>/logs/{node}/{{subject}}/{{clip}}.log",
        conda:
            "../../envs/core.yaml"
        params:
            node=node,
            recipe=recipe(node),
        shell:
            DERIVE
