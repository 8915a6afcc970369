# Ridge, backbone, heads and prior on all subjects but the evaluated one; one object per held-out subject and variant.
rule pretrain:
    input:
        upstream("pretrain"),
    output:
        ".stamps/pretrain/{key}",
    log:
        "logs/pretrain/{key}.log",
    benchmark:
        "benchmarks/pretrain/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=gpus("pretrain"),
        cpus_per_task=4,
        mem_mb=amount("pretrain", 96000, light=32000, miniature=2000),
        runtime=amount("pretrain", 1440, light=2880, miniature=120),
    params:
        spec=".plan/pretrain/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 pretrain --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
