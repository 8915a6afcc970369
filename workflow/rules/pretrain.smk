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
        gpu=1,
        mem_mb=64000,
        runtime=2880,
    params:
        spec=".plan/pretrain/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 pretrain --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
