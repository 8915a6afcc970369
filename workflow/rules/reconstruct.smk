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
        gpu=gpus("reconstruct"),
        cpus_per_task=2,
        mem_mb=amount("reconstruct", 48000, light=32000, miniature=3000),
        runtime=amount("reconstruct", 240, miniature=60),
    params:
        spec=".plan/reconstruct/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 reconstruct --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
