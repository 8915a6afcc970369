# Official stimulus brick and COCO captions -> pictures and captions by 73K index; one object per dataset.
rule stimuli:
    input:
        upstream("stimuli"),
    output:
        ".stamps/stimuli/{key}",
    log:
        "logs/stimuli/{key}.log",
    benchmark:
        "benchmarks/stimuli/{key}.tsv"
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=amount("stimuli", 4000),
        runtime=amount("stimuli", 60),
    params:
        spec=".plan/stimuli/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 stimuli --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
