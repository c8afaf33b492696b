# audit: whether the de-identified clip lets a head through.

for node in PLAN.nodes_of("audit"):

    rule:
        name:
            node
        input:
            reads(node),
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
