# Unrefined pictures and captions -> refined pictures, by SDXL image to image.
rule refine:
    input:
        upstream("refine"),
    output:
        ".stamps/refine/{key}",
    log:
        "logs/refine/{key}.log",
    benchmark:
        "benchmarks/refine/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        gpu=gpus("refine"),
        cpus_per_task=2,
        mem_mb=amount("refine", 32000, miniature=3000),
        runtime=amount("refine", 240, miniature=60),
    params:
        spec=".plan/refine/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 refine --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
