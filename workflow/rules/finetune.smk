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
    threads: 1
    resources:
        gpu=1,
        mem_mb=64000,
        runtime=1440,
    params:
        spec=".plan/finetune/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} finetune --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
