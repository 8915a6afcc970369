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
    threads: 1
    resources:
        mem_mb=8000,
        runtime=120,
    params:
        spec=".plan/betas/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} betas --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
