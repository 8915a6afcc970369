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
    threads: 1
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=720,
    params:
        spec=".plan/reconstruct/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} reconstruct --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
