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
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=amount("behav", 2000),
        runtime=amount("behav", 30),
    params:
        spec=".plan/behav/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 behav --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
