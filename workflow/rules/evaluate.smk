# Decoded pictures, captions and embeddings -> long table of metrics.
rule evaluate:
    input:
        upstream("evaluate"),
    output:
        ".stamps/evaluate/{key}",
    log:
        "logs/evaluate/{key}.log",
    benchmark:
        "benchmarks/evaluate/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=gpus("evaluate"),
        cpus_per_task=2,
        mem_mb=amount("evaluate", 16000, miniature=3000),
        runtime=amount("evaluate", 120, miniature=60),
    params:
        spec=".plan/evaluate/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 evaluate --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
