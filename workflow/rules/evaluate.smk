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
        gpu=1,
        mem_mb=16000,
        runtime=120,
    params:
        spec=".plan/evaluate/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 evaluate --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
