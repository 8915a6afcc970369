# `snakemake weights`, before anything else: on the machine that runs snakemake, the published files that are missing.
# It has no output, nor a benchmark, which Snakemake takes for one: whether there is something to fetch, it looks itself.
rule weights:
    log:
        "logs/weights.log",
    conda:
        "../../environment.yml"
    threads: 1
    params:
        config=CONFIG_FILE,
    message:
        "{rule}: what the configuration needs and paths.weights lacks"
    shell:
        '"$MINDEYE2_PYTHON" -m mindeye2 weights fetch --config {params.config} 2>&1 | tee {log}'
