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
        gpu=1,
        mem_mb=64000,
        runtime=1440,
    params:
        spec=".plan/finetune/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 finetune --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
