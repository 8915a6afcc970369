# Pictures -> what each frozen network says of them, row = picture; one object per network.
rule targets:
    input:
        upstream("targets"),
    output:
        ".stamps/targets/{key}",
    log:
        "logs/targets/{key}.log",
    benchmark:
        "benchmarks/targets/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=gpus("targets"),
        cpus_per_task=2,
        mem_mb=amount("targets", 16000, miniature=2000),
        runtime=amount("targets", 720, miniature=60),
    params:
        spec=".plan/targets/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 targets --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
