# gait: foot events, steps, parameters and joint angles; from the front, by the events of the sagittal clip.

for node in PLAN.nodes_of("gait"):

    rule:
        name:
            node
        input:
            reads(node),
            sibling(node),
        output:
            f"<results>/store.zarr/{{subject}}/{{clip}}/{node}/zarr.json",
        log:
            f"<results>/logs/{node}/{{subject}}/{{clip}}.log",
        conda:
            environment(node)
        threads: cores(node)
        resources:
            **needs(node),
        params:
            node=node,
            recipe=recipe(node),
        shell:
            DERIVE
