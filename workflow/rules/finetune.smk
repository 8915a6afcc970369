# The same on the first sessions of the evaluated subject; one object per subject, sessions and variant.
rule finetune:
    input:
        upstream("finetune"),
    output:
        ".stamps/finetune/{key}",
    log:
        "logs/finetune/{key}.log",
    benchmark:
        "benchmarks/finetune/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=gpus("finetune"),
        cpus_per_task=4,
        mem_mb=amount("finetune", 96000, light=32000, miniature=2000),
        runtime=amount("finetune", 60, each_session=30),
    params:
        spec=".plan/finetune/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 finetune --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
