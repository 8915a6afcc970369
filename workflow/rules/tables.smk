# Every evaluation of a run -> subject x session matrix and report page.
rule tables:
    input:
        upstream("tables"),
    output:
        ".stamps/tables/{key}",
    log:
        "logs/tables/{key}.log",
    benchmark:
        "benchmarks/tables/{key}.tsv"
    threads: 1
    resources:
        mem_mb=4000,
        runtime=30,
    params:
        spec=".plan/tables/{key}.json",
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} tables --spec {params.spec} --store {STORE.root} --stamp {output} > {log} 2>&1"
