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
        gpu=1,
        mem_mb=32000,
        runtime=720,
    params:
        spec=".plan/refine/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 refine --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
