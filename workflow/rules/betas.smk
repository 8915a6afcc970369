# Single-trial betas -> z-scored nsdgeneral voxels, row = global trial; one object per subject.
rule betas:
    input:
        upstream("betas"),
    output:
        ".stamps/betas/{key}",
    log:
        "logs/betas/{key}.log",
    benchmark:
        "benchmarks/betas/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=amount("betas", 8000, miniature=2000),
        runtime=amount("betas", 120),
    params:
        spec=".plan/betas/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 betas --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
