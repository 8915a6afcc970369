# Test trials -> tokens, retrieval embeddings, low-level and unrefined pictures, captions.
rule reconstruct:
    input:
        upstream("reconstruct"),
    output:
        ".stamps/reconstruct/{key}",
    log:
        "logs/reconstruct/{key}.log",
    benchmark:
        "benchmarks/reconstruct/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=720,
    params:
        spec=".plan/reconstruct/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 reconstruct --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
