# Human names under results/<run>/ for the objects of the present plan.
rule view:
    input:
        tables_stamp,
    output:
        "results/{run}/manifest.json",
    log:
        "logs/view/{run}.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        digest=view_digest,
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 view {wildcards.run} --store "$MINDEYE2_STORE" > {log} 2>&1'
