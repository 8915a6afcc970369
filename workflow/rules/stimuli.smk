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
    threads: 1
    resources:
        mem_mb=4000,
        runtime=60,
    params:
        spec=".plan/stimuli/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} stimuli --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
