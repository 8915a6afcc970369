# Human names under results/<run>/ for the objects of the present plan.
rule view:
    input:
        tables_stamp,
    output:
        f"results/{RUN}/manifest.json",
    log:
        f"logs/view/{RUN}.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        digest=view_digest,
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 view {params.digest} --store "$MINDEYE2_STORE" > {log} 2>&1'
