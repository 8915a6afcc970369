# Human names under results/<run>/ for the objects of the present plan.
rule view:
    input:
        tables_stamp,
    output:
        "results/{run}/manifest.json",
    log:
        "logs/view/{run}.log",
    threads: 1
    params:
        digest=view_digest,
    conda:
        "../../environment.yml"
    shell:
        "{PYTHON} view {wildcards.run} --store {STORE.root} > {log} 2>&1"
