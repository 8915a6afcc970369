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
    threads: 1
    resources:
        gpu=1,
        mem_mb=32000,
        runtime=720,
    params:
        spec=".plan/refine/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} refine --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
