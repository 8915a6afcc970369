# Pictures -> what each frozen network says of them, row = picture; one object per network.
rule targets:
    input:
        upstream("targets"),
    output:
        ".stamps/targets/{key}",
    log:
        "logs/targets/{key}.log",
    benchmark:
        "benchmarks/targets/{key}.tsv"
    threads: 1
    resources:
        gpu=1,
        mem_mb=16000,
        runtime=720,
    params:
        spec=".plan/targets/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} targets --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
