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
    conda:
        "../../environment.yml"
    threads: 1
    resources:
        mem_mb=amount("tables", 4000),
        runtime=amount("tables", 30),
    params:
        spec=".plan/tables/{key}.json",
    message:
        "{rule} {called:{rule} {wildcards.key}}"
    shell:
        'exec "$MINDEYE2_PYTHON" -m mindeye2 tables --spec {params.spec} --store "$MINDEYE2_STORE" --stamp {output} > {log} 2>&1'
