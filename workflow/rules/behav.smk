# responses.tsv -> WebDataset shards of 17-column trials; one object per subject.
rule behav:
    input:
        upstream("behav"),
    output:
        ".stamps/behav/{key}",
    log:
        "logs/behav/{key}.log",
    benchmark:
        "benchmarks/behav/{key}.tsv"
    threads: 1
    resources:
        mem_mb=2000,
        runtime=30,
    params:
        spec=".plan/behav/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} behav --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
